"""A sealed file tells of every changed byte; whatever else is in its place is refused with one message."""

import hashlib
import json

import pytest

from glbdes.base import seals
from glbdes.errors import RecordsError

VALUE = {"format": 3, "name": "Århus", "x": [1, 2.5, None, True], "deep": {"a": "\n"}}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(seals.sealed(VALUE))
    return path


def test_what_was_sealed_is_read_again(path):
    assert seals.opened(path, 3) == VALUE
    assert json.loads(path.read_bytes()) == VALUE | {"sha256": json.loads(path.read_bytes())["sha256"]}


def test_the_digest_is_that_of_every_byte_before_it(path):
    content = path.read_bytes()
    digest = json.loads(content)["sha256"]
    assert content == content[: content.index(digest.encode())] + digest.encode() + b'"\n}\n'
    assert hashlib.sha256(content[: content.index(digest.encode())]).hexdigest() == digest


@pytest.mark.parametrize("flipped", [0x01, 0x20, 0x80])
def test_any_changed_byte_is_found(path, flipped):
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ flipped]) + whole[place + 1 :])
        with pytest.raises(RecordsError, match=r"run\.json: (not JSON|format = |damaged)"):
            seals.opened(path, 3)


@pytest.mark.parametrize("change", [lambda b: b + b"\n", lambda b: b[:-1], lambda b: b" " + b, lambda b: b + b + b])
def test_so_is_white_space_that_means_nothing(path, change):
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RecordsError, match=r"run\.json"):
        seals.opened(path, 3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"format": ' + b"7" * 5000 + b"}", "not JSON: Exceeds the limit"),
        (b'{"format": 3, "x": NaN}', "not JSON: NaN is no JSON number"),
        (b"[1]", "format = None, must be 3"),
        (b'{"format": "3"}', "format = '3', must be 3$"),
        (b'{"format": 2}', "format = 2, must be 3, written by an older glbdes"),
        (b'{"format": 4}', "format = 4, must be 3$"),
        (b'{"format": 3}', "damaged or changed"),
    ],
)
def test_what_is_no_sealed_file_is_refused(path, content, told):
    path.write_bytes(content)
    with pytest.raises(RecordsError, match=told) as error:
        seals.opened(path, 3)
    assert len(str(error.value)) < len(str(path)) + 200


def test_a_checksum_is_sha256(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert seals.checksum(path) == digest
    seals.check(path, digest)
    with pytest.raises(RecordsError, match=f"its SHA-256 is {digest[:12]}…, must be 000000000000…"):
        seals.check(path, "0" * 64)


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_cannot_be_read_is_told_of(tmp_path, there):
    path = tmp_path / "run.json"
    if there:
        path.mkdir()
    for look in (lambda: seals.opened(path, 3), lambda: seals.check(path, "0" * 64)):
        with pytest.raises(RecordsError, match="cannot be read" if there else "missing"):
            look()


def test_numbers_that_are_none_are_not_written():
    with pytest.raises(ValueError, match="JSON"):
        seals.sealed({"a": float("inf")})
