"""`glbdes profile`: list, show, and fit to measurements of iterations and prompts (JSON) or of steps (CSV)."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from glbdes.cli.output import say, show
from glbdes.cli.paths import FILE
from glbdes.errors import ProfileError

if TYPE_CHECKING:
    from glbdes.hardware.profile import Profile
    from glbdes.hardware.served_file import ServedRequests

COUNT: Final = click.IntRange(1, 10**9)
WATTS: Final = click.FloatRange(0, 10**9, min_open=True)
# Options of one kind of file, and whether it cannot do without.
OF_STEPS: Final = ("active_w", "idle_w", "sleep_w", "kv_tokens", "max_batch", "gpu", "model")
OF_REGION: Final = ("batch_max", "context_min", "context_max")
OF_RUN: Final = ("served", "first", "budget", "block_tokens")
BLOCK_TOKENS: Final = 16  # vLLM's default
OF_GRIDS: Final = ("graph_tokens", "serving_of")
NEEDED: Final = ("kv_tokens", "idle_w")


@click.group()
def profile() -> None:
    """Measured timing and energy of replicas."""


@profile.command("list")
def list_profiles() -> None:
    """List the profiles that come with the package."""
    from glbdes.hardware import profile
    from glbdes.present import tables

    show([tables.profiles([profile.load(name) for name in profile.shipped()])])


@profile.command("show")
@click.argument("name")
def show_profile(name: str) -> None:
    """What a replica of profile NAME, shipped or a file, takes and draws."""
    from glbdes.hardware import profile
    from glbdes.present import tables

    show(tables.profile(profile.load(name, Path.cwd())))


@profile.command("fit")
@click.argument("measurements", type=FILE, metavar="FILE")
@click.option("-o", "--out", type=FILE, metavar="TOML", help="Write the profile there.")
@click.option("--graph-tokens", type=COUNT, metavar="N", help="JSON: ignore longer prompts, extrapolate.")
@click.option("--serving-of", metavar="NAME", help="JSON: assume this profile's serving overhead if none was measured.")
@click.option("--kv-tokens", type=COUNT, metavar="N", help="CSV: room of the KV cache, tokens. Needed.")
@click.option("--idle-w", type=WATTS, metavar="W", help="CSV: power without work. Needed.")
@click.option("--active-w", type=WATTS, metavar="W", help="CSV without energy_j: power at work, assumed.")
@click.option("--sleep-w", type=WATTS, metavar="W", help="CSV: power asleep; default: as idle.")
@click.option("--max-batch", type=COUNT, metavar="N", help="CSV: requests at a time; default: the largest batch there.")
@click.option("--batch-max", type=COUNT, metavar="N", help="CSV: fit steps of at most N decoding requests.")
@click.option("--context-min", type=COUNT, metavar="N", help="CSV: fit requests of at least N tokens.")
@click.option("--context-max", type=COUNT, metavar="N", help="CSV: fit requests of at most N tokens.")
@click.option("--served", type=FILE, metavar="CSV", help="CSV: fit the host's time to the first requests of this run.")
@click.option("--first", type=COUNT, metavar="N", help="CSV, --served: how many requests it is fitted to.")
@click.option("--budget", type=COUNT, metavar="N", help="CSV, --served: most tokens of a step of that run.")
@click.option("--block-tokens", type=COUNT, metavar="N", help="CSV, --served: tokens of a KV block there; default: 16.")
@click.option("--gpu", metavar="NAME", help="CSV: what it was measured on.")
@click.option("--model", metavar="NAME", help="CSV: what was served.")
def fit_profile(measurements: Path, out: Path | None, **options: Any) -> None:
    """Fit a profile to the measurements in FILE, and print how well it fits.

    A FILE in JSON has decode iterations and single prompts, one in CSV has steps of a server that schedules in chunks.
    Steps are fitted where work is: by default to the contexts of the served run, or of the conversation law of lengths
    without one, and to the batches of them that the KV cache holds.
    """
    from glbdes.base.files import put
    from glbdes.hardware.written import to_toml

    steps = measurements.suffix == ".csv"
    _only(options, OF_GRIDS if steps else (*OF_STEPS, *OF_REGION, *OF_RUN), "JSON" if steps else "CSV")
    name = measurements.stem if out is None or not steps else out.stem
    fitted, residuals, kv_source = _of_steps(measurements, name, options) if steps else _of_grids(measurements, options)
    if out is not None:
        given = [(key, value) for key, value in options.items() if value is not None]
        choices = [f"--{key.replace('_', '-')} {shlex.quote(_written(value))}" for key, value in given]
        made_by = " ".join(["glbdes profile fit", measurements.name, *choices])
        put(out, to_toml(fitted, residuals, made_by, kv_source))
        say(f"Wrote {out}")


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _only(options: dict[str, Any], others: tuple[str, ...], kind: str) -> None:
    for key in others:
        if options[key] is not None:
            raise click.UsageError(f"--{key.replace('_', '-')} goes with measurements in {kind}")


def _of_grids(measurements: Path, options: dict[str, Any]) -> "tuple[Profile, list[Any], str]":
    from glbdes.hardware import fit, profile
    from glbdes.hardware.gpu import read_gpu
    from glbdes.present import tables

    assumed = None if options["serving_of"] is None else profile.load(options["serving_of"], Path.cwd())
    measured = read_gpu(measurements)
    fitted, residuals = fit.fit_profile(measured, graph_tokens=options["graph_tokens"], serving_of=assumed)
    rows = fit.residual_rows(residuals)
    show([*tables.profile(fitted), tables.table("Residuals", fit.RESIDUAL_COLUMNS, rows)])
    return fitted, residuals, measured.kv_source


def _of_steps(measurements: Path, name: str, options: dict[str, Any]) -> "tuple[Profile, list[Any], str]":
    from glbdes.hardware import fit_steps, steps_profile
    from glbdes.hardware.steps_file import read_steps
    from glbdes.present import tables
    from glbdes.scenario.demand import Lengths
    from glbdes.study import served
    from glbdes.workload.lengths import mix

    missing = [f"--{key.replace('_', '-')}" for key in NEEDED if options[key] is None]
    if missing:
        raise click.UsageError(f"{measurements.name} has steps and no more, give also {' and '.join(missing)}")
    found = read_steps(measurements)
    measured = int(found.batch.max())
    most = options["max_batch"] or max(measured, 1)
    if most > measured:
        raise ProfileError(f"{measurements}: --max-batch {most}, must be <= {measured}, the largest batch in it")
    run = _run(options)
    lengths = mix(Lengths()) if run is None else (run.prompt_tokens, run.output_tokens)
    region = fit_steps.where_work_is(found, *lengths, most, options["kv_tokens"])
    chosen = {key: options[key] for key in OF_REGION if options[key] is not None}
    region = region._replace(**chosen)
    if region.context_min > region.context_max:
        rule = f"must be <= {region.context_max}, the longest context to fit"
        raise ProfileError(f"{measurements}: --context-min {region.context_min}, {rule}")
    idle_w = options["idle_w"]
    replica = steps_profile.Replica(
        name=name,
        gpu=options["gpu"] or "not said",
        model=options["model"] or "not said",
        max_batch=most,
        kv_tokens=options["kv_tokens"],
        idle_w=idle_w,
        sleep_w=idle_w if options["sleep_w"] is None else options["sleep_w"],
    )
    fitted, bands = steps_profile.profile_of(found, region, replica, measurements.name, options["active_w"])
    if run is not None:
        size = options["block_tokens"] or BLOCK_TOKENS
        server = served.Server(most, options["budget"], options["kv_tokens"], size)
        fitted = served.with_fitted_host(fitted, server, run, options["first"], options["served"].name)
    title = "Residuals of the step time"
    show([*tables.profile(fitted), tables.table(title, fit_steps.BAND_COLUMNS, fit_steps.band_rows(bands), text=4)])
    return fitted, steps_profile.residuals(bands), "as given"


def _run(options: dict[str, Any]) -> "ServedRequests | None":
    """The served run that the host's time is fitted to, if one is named."""
    from glbdes.hardware.served_file import read_served

    if options["served"] is None:
        for key in OF_RUN[1:]:
            if options[key] is not None:
                raise click.UsageError(f"--{key.replace('_', '-')} goes with --served")
        return None
    missing = [f"--{key}" for key in ("first", "budget") if options[key] is None]
    if missing:
        raise click.UsageError(f"--served needs {' and '.join(missing)}, too")
    return read_served(options["served"])
