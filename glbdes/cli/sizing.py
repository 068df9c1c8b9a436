"""Commands that look for what keeps limits: the smallest fleet, the largest load."""

import json
from collections.abc import Callable, Iterator, Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

import click

from glbdes.cli.output import WIDTH, say, show, stopped
from glbdes.cli.paths import ANY, FOLDER
from glbdes.cli.study import allow_policy, quiet_option, workers_option
from glbdes.errors import InfeasibleError

if TYPE_CHECKING:
    from glbdes.study.search import Step
    from glbdes.study.sizing import Answer

OPTIONS = (
    click.option("--until", multiple=True, required=True, metavar="LIMIT", help="'ttft_p99_s <= 0.5'; may be several."),
    click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Draws of requests."),
    click.option("--policy", metavar="NAME", help="Use this policy: a built-in, or 'package.module:Class'."),
    click.option("-o", "--out", type=FOLDER, metavar="DIR", help="Where results go; default: a folder in runs/."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the scenario."),
    click.option("--signals", type=ANY, metavar="PATH", help="Take signals from there instead."),
    allow_policy,
    workers_option,
    click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else."),
    quiet_option,
)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Those that both commands have."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("scenario")
@click.option(
    "--vary", multiple=True, required=True, metavar="KEY", help="regions.*.replicas, or of one region, or pool."
)
@options
def size(scenario: str, **choices: Any) -> None:
    """Find the smallest fleet of SCENARIO that keeps limits; killed, it goes on when called again."""
    from glbdes.study import sizing

    _found(lambda **rest: sizing.size(scenario, **rest), **choices)


@click.command()
@click.argument("scenario")
@click.option("--within", type=float, default=0.01, show_default=True, metavar="SHARE", help="To this share of it.")
@options
def saturate(scenario: str, **choices: Any) -> None:
    """Find the largest workload.load_scale of SCENARIO within limits; killed, it goes on when called again."""
    from glbdes.study import sizing

    _found(lambda **rest: sizing.saturate(scenario, **rest), **choices)


COMMANDS = (size, saturate)


def _found(look: Callable[..., "Answer"], workers: int | None, as_json: bool, quiet: bool, **choices: Any) -> None:
    from glbdes.base import jobs

    tell = None if quiet else lambda text: click.echo(f"({text})", err=True)
    try:
        answer = look(workers=workers or jobs.processors(), tell=tell, **choices)
    except KeyboardInterrupt as error:
        stopped(error, "The runs that had ended are kept; the same command goes on.")
    if as_json:
        say(_json(answer))
    elif quiet:
        say(answer.path)
    else:
        _show(answer)
    if answer.value is None:
        reach = {"size": "fleet of up to 16 times the replicas", "saturate": "load of 1/256 to 16 times the scale"}
        raise InfeasibleError(f"no {reach[answer.kind]} keeps every limit; see {answer.path / 'steps.csv'}")


def _json(answer: "Answer") -> str:
    from glbdes.study import sizing

    info = json.loads((answer.path / sizing.MARKS[answer.kind]).read_text(encoding="utf-8"))
    return json.dumps({**info, "path": str(answer.path)}, indent=2)


def _show(answer: "Answer") -> None:
    from glbdes.present import tables

    limits = next((step.judged for step in answer.steps if step.judged), ())
    headings = ["step", "replicas" if answer.kind == "size" else "load scale", "seeds"]
    headings += [str(one.limit) for one in limits]
    rows = [
        [step.what, _value(step), str(step.seeds), *_figures(step, len(limits)), step.verdict] for step in answer.steps
    ]
    parts: list[Any] = [tables.table("Steps", [*headings, "verdict"], rows)]
    if answer.step is not None:
        parts += [*_answer(answer), *_fewer(answer)]
    parts += [f"Warning: {text}" for text in answer.warnings]
    runs = f"{answer.simulated} runs in {answer.wall_s:.0f} s"
    show([*parts, f"{runs}; steps and scenario in {answer.path}"], width=max(WIDTH, 110))


def _value(step: "Step") -> str:
    if isinstance(step.value, Mapping):
        return str(sum(step.value.values()))
    return f"{step.value:g}"


def _figures(step: "Step", columns: int) -> list[str]:
    """The mean of each figure and half of its interval; that the load does not fit where it does not."""
    from glbdes.present import tables

    if step.error is not None:
        return ["does not fit", *[""] * (columns - 1)][:columns]
    return [
        tables.number(None if isnan(one.mean) else one.mean) + ("" if isnan(one.half) else f" ±{one.half:.2g}")
        for one in step.judged
    ]


def _answer(answer: "Answer") -> Iterator[str]:
    if isinstance(answer.value, Mapping):
        fleet = ", ".join(f"{name} {replicas}" for name, replicas in answer.value.items())
        yield f"Smallest fleet: {sum(answer.value.values())} replicas ({fleet})"
    else:
        yield f"Largest load: workload.load_scale = {answer.value:g}"
    step = answer.step
    assert step is not None
    for one in step.judged:
        sure = "one draw, no interval" if isnan(one.half) else f"95 % of the mean over {step.seeds} draws of requests"
        yield f"{one.limit}: {_figures(step._replace(judged=(one,)), 1)[0]} ({sure})"


def _fewer(answer: "Answer") -> Iterator[str]:
    """What the candidates just beyond the answer say."""
    names = {"missed": "beyond a limit", "open": "a limit lies within the interval: not sure to keep it", "met": "kept"}
    for verdict, meaning in names.items():
        those = [step.what.removeprefix("one fewer: ") for step in answer.fewer if step.verdict == verdict]
        if those:
            what = f"One fewer in {', '.join(those)}" if answer.kind == "size" else "A little more"
            yield f"{what}: {meaning}"
