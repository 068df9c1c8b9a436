"""Which engines there are, and which of them runs a world."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from glbdes.engine import fluid, simpy
from glbdes.units import NS_PER_S
from glbdes.world import Policy, Sink, World


class Engine(Protocol):
    """Runs a world; see docs/model.md."""

    def __call__(
        self,
        world: World,
        policy: Policy,
        sink: Sink,
        /,
        *,
        policy_name: str,
        progress: Callable[[int], None] | None,
    ) -> None: ...


def compiled(*args: Any, **options: Any) -> None:
    """The compiled engine, imported when it is needed: its compiler takes half a second to load."""
    from glbdes.engine import fast

    fast.run(*args, **options)


ENGINES: Final[Mapping[str, Engine]] = {"simpy": simpy.run, "fast": compiled, "fluid": fluid.run}
AUTO: Final = "auto"  # simpy or fast, by the number of requests expected
WORTH_LOADING: Final = 30_000  # requests that the SimPy engine simulates while compiled kernels are loaded
WORTH_COMPILING: Final = 300_000  # the same while they are compiled, once per version and machine


def engine_for(engine: str, world: World) -> str:
    """What runs `world` where `engine` is asked for: "auto" weighs the time that the compiled one takes to be ready."""
    if engine != AUTO:
        return engine
    expected = expected_requests(world)
    if expected >= WORTH_COMPILING or (expected >= WORTH_LOADING and not must_compile(world)):
        return "fast"
    return "simpy"


def must_compile(world: World) -> bool:
    """Whether the compiled engine would have to be compiled for `world` first."""
    from glbdes.engine import fast

    return fast.must_compile(world)


def expected_requests(world: World) -> int:
    """How many requests `world` is expected to simulate, warm-ups included."""
    return round(float(world.expected_rps.sum()) * world.period_ns / NS_PER_S)
