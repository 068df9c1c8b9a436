"""A region of the SimPy engine: its queue, the choice of a replica, and its meter (docs/model.md, sections 4 and 5)."""

from collections import OrderedDict
from functools import reduce
from operator import add
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from simpy import Environment, Event

from glbdes.engine.simpy.meter import Meter
from glbdes.engine.simpy.pool import Pool
from glbdes.engine.simpy.replica import ASLEEP, IDLE, Replica
from glbdes.engine.simpy.request import Happening, Request, order_key
from glbdes.hardware import physics
from glbdes.signals import Signals
from glbdes.units import J_PER_KWH
from glbdes.world import METER_DTYPE, World


class Owner(Protocol):
    """Who takes requests off a region's hands."""

    def end(self, request: Request, status: int, now: int) -> None: ...

    def turn_away(self, request: Request, now: int) -> None: ...


class Region:
    """Equal replicas behind one FIFO queue."""

    def __init__(self, env: Environment, world: World, index: int, owner: Owner) -> None:
        self.env = env
        self.index = index
        self.owner = owner
        self.timeout_ns = world.timeout_ns
        self.max_queue = int(world.fleet.max_queue[index])
        self.pool = Pool.of(world, index)
        self.spread = world.full_attribution
        self.charges: list[tuple[Request, float]] = []  # of the running slot, if they are to be spread
        self.stretch = 0  # of the same signals; paid together, if charges are to be spread
        self.queue: OrderedDict[int, Request] = OrderedDict()
        self.population = self.arrived = 0
        self.queue_since_ns = self.population_since_ns = 0
        self.meter = Meter()
        self.up = True
        self.told = world.scaling is not None  # whether replicas are told to be awake or asleep
        self.replicas = [Replica(env, self.pool, self, i) for i in range(self.pool.replicas)]
        self.awake = self.pool.replicas  # so many are to be awake: those of the lowest indices

    def ready(self) -> int:
        """Replicas that are awake and take requests."""
        return sum(one.accepts for one in self.replicas[: self.awake]) if self.told else self.awake

    @property
    def room_tokens(self) -> int:
        """Of the longest request that it can serve."""
        return self.pool.kv_tokens

    def keep_awake(self, count: int, now: int) -> None:
        """So many replicas are to be awake from now on, and at least one if anybody waits."""
        count = max(count, 1) if self.queue else count
        more = count > self.awake
        self.awake = count
        for replica in self.replicas[:count]:
            if not replica.wanted:
                replica.stay_awake(now)
        for replica in self.replicas[count:]:
            if replica.wanted:
                replica.go_to_sleep(now)
        if more:
            self.drain(now)

    def arrive(self, request: Request, now: int) -> None:
        """A request reaches the region: it is admitted, waits, or is sent off (section 4)."""
        self.meter.arrived += 1
        if not self.up:
            self.owner.turn_away(request, now)
            return
        tokens = request.prompt + request.output
        if tokens > self.room_tokens:
            self.refuse(request, physics.REJECTED, now)
            return
        replica = None if self.queue else self.admitting(tokens)
        if replica is not None:
            self.count_population(1, now)
            replica.admit(request, now)
        elif len(self.queue) >= self.max_queue:
            self.refuse(request, physics.REJECTED, now)
        elif request.arrival_ns + self.timeout_ns <= now:
            self.refuse(request, physics.TIMED_OUT, now)
        else:
            self.enqueue(request, now)

    def admitting(self, tokens: int) -> Replica | None:
        """Of the admitting replicas the fullest that holds less than it is packed to, or else the one with the fewest
        requests; of equals the one of lowest index. None if there is none."""
        pack, best, fewest = self.pool.pack, None, self.pool.max_batch
        if pack > 0:
            below = [one for one in self.replicas if one.held < pack and one.kv_free >= tokens and one.accepts]
            if below:
                return max(below, key=lambda one: one.held)
        for one in self.replicas:
            if one.held < fewest and one.kv_free >= tokens and one.accepts:
                best, fewest = one, one.held
        return best

    def enqueue(self, request: Request, now: int) -> None:
        self.count_population(1, now)
        self.count_queue(now)
        self.queue[request.id] = request
        self.meter.queue_max = max(self.meter.queue_max, len(self.queue))
        if self.timeout_ns < physics.NEVER_NS:
            attempt = request.attempts

            def give_up(_: Event) -> None:
                if self.queue.get(request.id) is request and request.attempts == attempt:
                    self.time_out(request, request.arrival_ns + self.timeout_ns)

            order = order_key(physics.TIMEOUT, self.index, request.id)
            Happening(self.env, request.arrival_ns + self.timeout_ns, order, give_up)
        if self.awake == 0:
            self.keep_awake(1, now)

    def time_out(self, request: Request, now: int) -> None:
        """A queued request has waited enough; the one behind it may fit where it did not."""
        self.count_queue(now)
        del self.queue[request.id]
        self.count_population(-1, now)
        self.refuse(request, physics.TIMED_OUT, now)
        self.drain(now)

    def drain(self, now: int) -> None:
        """Admit from the head of the queue as far as replicas have room."""
        while self.queue:
            request = next(iter(self.queue.values()))
            replica = self.admitting(request.prompt + request.output)
            if replica is None:
                return
            self.count_queue(now)
            del self.queue[request.id]
            replica.admit(request, now)

    def refuse(self, request: Request, status: int, now: int) -> None:
        if status == physics.REJECTED:
            self.meter.rejected += 1
        else:
            self.meter.timed_out += 1
        self.owner.end(request, status, now)

    def served(self, request: Request, now: int) -> None:
        self.meter.served += 1
        self.count_population(-1, now)
        self.owner.end(request, physics.SERVED, now)

    def count_population(self, change: int, now: int) -> None:
        self.meter.system_area_ns += self.population * (now - self.population_since_ns)
        self.population_since_ns = now
        self.population += change

    def count_queue(self, now: int) -> None:
        self.meter.queue_area_ns += len(self.queue) * (now - self.queue_since_ns)
        self.queue_since_ns = now

    def charge(self, request: Request, joules: float) -> None:
        """`request` pays for `joules` at the slot's signals; at the slot's end, if idle energy is to be spread."""
        if self.spread:
            self.charges.append((request, joules))
            return
        self.meter.attributed_j += joules
        before_j = request.energy_j
        request.energy_j += joules
        request.cost_usd += joules * self.cost_usd_per_j
        request.carbon_g += joules * self.carbon_g_per_j
        request.water_l += joules * self.water_l_per_j
        if self.further_per_j:
            self.charge_further(request, before_j)

    def charge_further(self, request: Request, before_j: float) -> None:
        """Other footprints, of all the energy of a stretch with one region and its signals: one product for it all."""
        stretch = (self.index, self.stretch, request.attempts)
        if request.stretch != stretch:
            request.stretch, request.marked_j = stretch, before_j
            request.further_at = request.further or [0.0] * len(self.further_per_j)
        since_j = request.energy_j - request.marked_j
        pairs = zip(request.further_at, self.further_per_j, strict=True)
        request.further = [amount + since_j * rate for amount, rate in pairs]

    def spread_charges(self, powered_ns: int) -> None:
        """Full attribution: charges cover idle and host energy too, in proportion."""
        charged = reduce(add, (joules for _, joules in self.charges), 0.0)  # not `sum`: see `Dispatcher`
        if charged <= 0.0:
            self.charges.clear()
            return
        meter, pool = self.meter, self.pool
        host_j = physics.host_j(pool.host_w, pool.host_sleep_w, powered_ns, meter.asleep_ns)
        factor = (meter.prefill_j + meter.decode_j + meter.idle_j + meter.sleep_j + host_j) / charged
        charges, self.charges, self.spread = self.charges, [], False
        self.stretch += 1
        for request, joules in charges:
            self.charge(request, joules * factor)
        self.spread = True

    def open_slot(self, signals: Signals, slot: int) -> None:
        """New signals; what is charged from now on is charged at these (eq. 8)."""
        pue = float(signals.pue[slot, self.index])
        water = float(signals.wue_l_per_kwh[slot, self.index]) + pue * float(signals.ewif_l_per_kwh[slot, self.index])
        self.cost_usd_per_j = pue * float(signals.price_usd_per_kwh[slot, self.index]) / J_PER_KWH
        self.carbon_g_per_j = pue * float(signals.carbon_g_per_kwh[slot, self.index]) / J_PER_KWH
        self.water_l_per_j = water / J_PER_KWH
        self.stretch += 1
        self.further_per_j = (signals.further_per_kwh[slot, :, self.index] / J_PER_KWH).tolist()

    def settle(self, now: int) -> None:
        """Count and charge all that has been used so far."""
        self.count_population(0, now)
        self.count_queue(now)
        for replica in self.replicas:
            replica.settle(now)

    def close_part(self, span_ns: int) -> NDArray[Any]:
        """The meter of a part of a slot that lasted `span_ns`; the next part begins with a fresh one."""
        if self.spread:
            self.spread_charges(len(self.replicas) * span_ns - self.meter.down_ns)
        self.arrived += self.meter.arrived
        reading = np.array([self.meter.read()], dtype=METER_DTYPE)
        self.meter = Meter(queue_max=len(self.queue))
        return reading

    def go_down(self, now: int) -> None:
        """Everyone here is turned away, in order of request id."""
        self.up = False
        self.count_queue(now)
        evicted = list(self.queue.values())
        self.queue.clear()
        for replica in self.replicas:
            evicted += replica.go_down(now)
        self.count_population(-len(evicted), now)
        for request in sorted(evicted, key=lambda request: request.id):
            request.forget_progress()
            self.owner.turn_away(request, now)

    def come_up(self, now: int) -> None:
        self.up = True
        for replica in self.replicas:
            replica.spend(now)
            replica.rest(IDLE if replica.wanted else ASLEEP, now)
