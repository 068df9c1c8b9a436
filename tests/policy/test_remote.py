"""A policy behind an address does what it does at home, bit for bit; what goes wrong on the way is said."""

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from glbdes import policy
from glbdes.errors import GlbdesError, PolicyError, RecordsError, RefusalError
from glbdes.policy import contract, remote, service
from glbdes.policy.service import MalformedError, Service, UnknownSessionError
from glbdes.policy.wire import encode
from glbdes.study import serving, simulate
from glbdes.world import Plan
from tests.runs import little
from tests.study.test_footprints import SETTINGS
from tests.views import make_view

ABOUT = {"service": "glbdes", "format": 1, "version": "1", "policy": "x", "observes": False}


@contextmanager
def served(name, **arguments):
    """The address at which a policy is served, for as long as the block lasts."""
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(serving.app(serving.service(name, arguments)), port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def answering(plan=b'{"weights": [[1.0]]}', status=200, about=ABOUT, wait_s=0.0, drip_s=0.0):
    """The address of a service that answers questions for plans like that."""

    class Answer(BaseHTTPRequestHandler):
        def reply(self, status, content, drip_s=0.0):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            for n in range(len(content)):
                if drip_s:
                    time.sleep(drip_s)
                self.wfile.write(content[n : n + 1])

        def do_GET(self):
            self.reply(200, about if isinstance(about, bytes) else json.dumps(about).encode())

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(wait_s)
            with suppress(OSError):  # whoever asked has gone
                self.reply(status, plan, drip_s)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def scenario(tmp_path):
    return little(tmp_path / "in")


@pytest.mark.parametrize("name", ["cost", "eglb"])
def test_records_are_those_of_the_policy_at_home(scenario, tmp_path, name):
    home = simulate(scenario, policy=name, out=tmp_path / "home")
    with served(name) as address:
        away = simulate(scenario, policy=address, out=tmp_path / "away")
        again = simulate(scenario, policy=address, out=tmp_path / "again")  # a session of its own
    for file in ("requests/part-0.parquet", "slots.parquet", "plans.parquet"):
        assert away.info["files"][file] == home.info["files"][file] == again.info["files"][file]
    assert away.info["policy"] == address


def test_replicas_awake_are_answered_too(scenario, tmp_path):
    elastic = ["scaling.rule=planned", "fleet.replicas=2", "fleet.wake_s=1.0"]
    home = simulate(scenario, policy="eglb_simplex", overrides=elastic, out=tmp_path / "home")
    with served("eglb_simplex") as address:
        away = simulate(scenario, policy=address, overrides=elastic, out=tmp_path / "away")
    for file in ("requests/part-0.parquet", "slots.parquet", "plans.parquet"):
        assert away.info["files"][file] == home.info["files"][file]


def test_further_footprints_travel_without_code_of_their_own(tmp_path):
    chosen = {"engine": "fluid", "overrides": SETTINGS}
    home = simulate("tiny", policy="eglb", out=tmp_path / "home", **chosen)
    with served("eglb") as address:
        away = simulate("tiny", policy=address, out=tmp_path / "away", **chosen)
    assert away.info["files"]["slots.parquet"] == home.info["files"]["slots.parquet"]
    assert away.info["files"]["plans.parquet"] == home.info["files"]["plans.parquet"]


def test_a_served_policy_keeps_the_contract():
    with served("cost") as address:
        found = contract.check(lambda: policy.load(address, {}), address)
    assert [check.rule for check in found if not check.passed] == []


def test_a_refusal_stays_one():
    answer = b'{"error": "no such objective", "kind": "refusal"}'
    with answering(answer, 422) as address, pytest.raises(RefusalError, match="answered 422: no such objective"):
        policy.load(address, {}).plan(make_view([1.0], [2.0]))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"plan": b"{"}, "answered 200 with what is not valid JSON"),
        ({"plan": b"\xff"}, "answered 200 with what is not UTF-8"),
        ({"plan": b"[1]"}, r"answered a list, must be an object: \[1\]"),
        ({"plan": b"{}"}, "the answer has no weights: {}"),
        ({"plan": b'{"weights": [[1.0, 0.0]]}'}, r"array of shape \(1, 2\), must be \(gateways, regions\) = \(2, 2\)"),
        ({"plan": b'{"weights": [[1, 0], [0.5]]}'}, "weights: is no array of numbers"),
        ({"plan": b'{"weights": [["a"]]}'}, "weights: holds text, must be numbers"),
        ({"plan": b'{"weights": [[1, 0], ["nan", 1]]}'}, "weights: is no array|must be finite"),
        ({"plan": b'{"weights": [[1, 0], [0.5, 0.4]]}'}, "weights of gateway 1 sum to 0.9, must be 1"),
        ({"plan": b'{"weights": [[1, 0], [1, 0]], "duals": {"x": [1.0, 2.0]}}'}, "unknown footprint"),
        ({"status": 500, "plan": b'{"error": "it is tired"}'}, "answered 500: it is tired"),
        ({"status": 404, "plan": b"<html>"}, "answered 404 with what is not valid JSON"),
        ({"status": 204, "plan": b""}, "the answer has no weights"),
        ({"wait_s": 0.3}, r"no answer within 0.1 s \(policy.timeout_s\)"),
        ({"drip_s": 0.03}, "no answer within 0.1 s"),
        ({"about": {}}, "serves no policy, or one of another format: {}"),
        ({"about": {**ABOUT, "format": 2}}, "one of another format"),
        ({"about": b"hello"}, "answered 200 with what is not valid JSON"),
    ],
)
def test_what_goes_wrong_on_the_way_is_said(scenario, tmp_path, answer, said):
    timeout_s = 0.1 if "within" in said else 30
    with answering(**answer) as address, pytest.raises(PolicyError, match=said) as caught:
        simulate(scenario, overrides=[f"policy={{name='{address}', timeout_s={timeout_s}}}"], out=tmp_path / "out")
    assert address in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_address_where_nobody_answers_is_said_before_anything_runs():
    with answering() as address:
        pass
    with pytest.raises(PolicyError, match="nobody answers there; is `glbdes serve` running"):
        policy.load(address, {})


@pytest.mark.parametrize(
    ("name", "allow", "said"),
    [
        ("http://10.0.0.1:80", (), "another machine, which would be shown .* say --allow-policy http://10.0.0.1:80"),
        ("https://example.org", ("10.0.0.1",), "another machine"),
        ("http://localhost.example.org:80", (), "another machine"),
        ("http://", (), "no address"),
        ("http://127.0.0.1:port", (), "no address"),
        ("http://127.0.0.1:99999", (), "no address"),
        ("http://me:word@127.0.0.1:1", (), "no address"),
        ("http://127.0.0.1:1/?x=1", (), "no address"),
    ],
)
def test_only_addresses_of_this_machine_are_asked_without_permission(name, allow, said):
    with pytest.raises(PolicyError, match=said):
        policy.find(name, None, allow)


@pytest.mark.parametrize("allow", ["10.0.0.1", "10.0.0.1:80", "http://10.0.0.1:80"])
def test_a_permission_names_the_address_or_its_host(allow):
    assert policy.find("http://10.0.0.1:80/", None, allow)
    assert policy.find("http://[::1]:80")


@pytest.mark.parametrize("timeout_s", [0, -1, "3", True, 1e9])
def test_a_limit_that_is_none_is_refused(timeout_s):
    with pytest.raises(PolicyError, match=r"timeout_s = .* s, must be > 0 and <= 3600"):
        remote.Remote("http://127.0.0.1:1", timeout_s)


# The service


class Counting:
    """Its plan says how often it has been asked."""

    def __init__(self):
        self.asked = 0

    def plan(self, view):
        self.asked += 1
        return [[self.asked]]

    def observe(self, outcome):
        self.asked += 10


@pytest.fixture
def counting():
    return Service("counting", Counting)


def question(**more):
    return {"view": encode(make_view([1.0], [2.0])), **more}


def test_a_session_remembers_and_a_view_without_one_does_not(counting):
    assert counting.about().observes
    ask = lambda **more: counting.plan(question(**more)).weights[0][0]  # noqa: E731
    assert [ask(), ask()] == [1, 1]
    assert [ask(session="a", begin=True), ask(session="a"), ask(session="b", begin=True), ask(session="a")] == [
        1,
        2,
        1,
        3,
    ]
    assert ask(session="a", begin=True) == 1
    numbers = [1.0]
    outcome = {"slot": 0, "demand_rps": numbers, "dispatched": [[1]], "it_kwh": numbers, "cost_usd": numbers}
    outcome |= {"carbon_kg": numbers, "water_l": numbers}
    counting.observe({"session": "a", "outcome": outcome})
    assert ask(session="a") == 12


def test_sessions_that_have_not_begun_or_were_forgotten_are_refused(counting, monkeypatch):
    monkeypatch.setattr(service, "MOST_SESSIONS", 3)
    with pytest.raises(UnknownSessionError, match=r"session 'z' has not begun here.*begin one with"):
        counting.plan(question(session="z"))
    counting.plan(question(session="first", begin=True))
    for n in range(3):
        counting.plan(question(session=str(n), begin=True))
    with pytest.raises(UnknownSessionError):
        counting.plan(question(session="first"))


def test_what_else_a_plan_says_travels_with_it():
    class Elastic:
        def plan(self, view):
            return Plan(np.ones((1, 1)), np.array([2]))

    answer = Service("elastic", Elastic).plan(question()).model_dump()
    assert answer == {"weights": [[1.0]], "awake": [2.0], "duals": None}
    with answering(json.dumps(answer).encode()) as address:
        plan = policy.load(address, {}).plan(make_view([1.0], [2.0]))
    assert type(plan) is Plan
    assert (plan.weights.tolist(), plan.awake.tolist()) == ([[1.0]], [2.0])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (3, "the question: Input should be"),
        ({}, "view: Field required"),
        ({"view": {}, "veiw": {}}, "veiw: Extra inputs"),
        ({"view": {}}, "view.slot: missing, must be given"),
        ({"view": {}, "session": ""}, "session: String should have at least 1 character"),
    ],
)
def test_questions_that_are_none_are_refused(counting, asked, said):
    with pytest.raises(MalformedError, match=said):
        counting.plan(asked)


def test_what_the_policy_does_wrong_is_told():
    class Wrong:
        def plan(self, view):
            raise ValueError("no idea")

    with pytest.raises(PolicyError, match="policy 'wrong', slot 0: ValueError: no idea"):
        Service("wrong", Wrong).plan(question())


@pytest.mark.parametrize("name", ["offline", "http://127.0.0.1:1"])
def test_what_cannot_be_served_is_refused(name):
    with pytest.raises(PolicyError, match=r"cannot be served|served already"):
        serving.service(name, {})


def test_a_port_that_is_taken_is_said():
    pytest.importorskip("uvicorn")
    with answering() as address, pytest.raises(RecordsError, match="cannot be listened at"):
        serving.serve(serving.service("cost", {}), "127.0.0.1", int(address.rpartition(":")[2]), print)


def test_statuses_tell_whose_fault_it_is():
    import http.client

    def post(address, path, body):
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        connection.request("POST", path, body)
        response = connection.getresponse()
        found = response.status, json.loads(response.read())
        connection.close()
        return found

    with served("cost") as address:
        assert post(address, "/plan", "{")[0] == 400
        assert post(address, "/plan", json.dumps(question(session="x")))[0] == 409
        status, answer = post(address, "/plan", json.dumps(question()))
        assert (status, answer) == (200, {"weights": [[1.0]], "duals": None})
    assert issubclass(UnknownSessionError, GlbdesError)


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(RecordsError, match=r"needs Starlette and uvicorn: pip install 'glbdes\[serve\]'"):
        serving.app(serving.service("cost", {}))


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_end():
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-m", "glbdes", "serve", "eglb", "--set", "step=0.5", "--port", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = running.stdout.readline().split()[-1]
    assert isinstance(policy.load(address, {}).plan(make_view([1.0], [2.0])), np.ndarray)
    running.terminate()
    _, told = running.communicate(timeout=60)
    assert (running.returncode, told) == (143, "Terminated.\n")
