"""What the replicas of a region have in common: sizes, times, energies; `world.fleet`, unpacked to plain numbers."""

from dataclasses import dataclass
from typing import Any, Self

from glbdes.hardware import physics
from glbdes.world import Floats, World


class Prefill(dict[int, Any]):
    """A column of the prefill table, converted where it is first read."""

    def __init__(self, table: Floats, clock_ns: int | None = None) -> None:
        self.table = table
        self.clock_ns = clock_ns

    def __missing__(self, tokens: int) -> Any:
        value = float(self.table[tokens])
        self[tokens] = value if self.clock_ns is None else physics.to_clock_ns(value, self.clock_ns)
        return self[tokens]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Equal replicas of one profile. Nothing here changes during a run."""

    region: int
    replicas: int
    max_batch: int
    kv_tokens: int
    timing: tuple[float, float, float, int]  # a_s, beta_s, gamma_s, clock_ns
    e0_j: float
    e1_j: float
    e2_j: float
    idle_w: float
    sleep_w: float
    host_w: float
    host_sleep_w: float
    charged_host_w: float  # of a replica at work, what its requests pay for
    sleep_after_ns: int
    wake_ns: int
    pack: int  # requests up to which a replica is filled before the next; 0: the one with the fewest comes first
    prefill_ns: Prefill
    chained_ns: Prefill
    prefill_j: Prefill
    horizon_ns: int  # idle time ends there

    @classmethod
    def of(cls, world: World, region: int) -> Self:
        """The pool of `region`."""
        fleet = world.fleet
        profile = int(fleet.profile[region])
        timing = (float(fleet.a_s[region]), float(fleet.beta_s[region]), float(fleet.gamma_s[region]), world.clock_ns)
        return cls(
            region=region,
            replicas=int(fleet.replicas[region]),
            max_batch=int(fleet.max_batch[region]),
            kv_tokens=int(fleet.kv_tokens[region]),
            timing=timing,
            e0_j=float(fleet.e0_j[region]),
            e1_j=float(fleet.e1_j[region]),
            e2_j=float(fleet.e2_j[region]),
            idle_w=float(fleet.idle_w[region]),
            sleep_w=float(fleet.sleep_w[region]),
            host_w=float(fleet.host_w[region]),
            host_sleep_w=float(fleet.host_sleep_w[region]),
            charged_host_w=float(fleet.host_w[region]) if world.active_attribution else 0.0,
            sleep_after_ns=int(fleet.sleep_after_ns[region]),
            wake_ns=int(fleet.wake_ns[region]),
            pack=int(fleet.pack[region]),
            prefill_ns=Prefill(fleet.prefill_s[profile], world.clock_ns),
            chained_ns=Prefill(fleet.chained_s[profile], world.clock_ns),
            prefill_j=Prefill(fleet.prefill_j[profile]),
            horizon_ns=world.horizon_ns,
        )
