"""Pools of equal replicas: the keys of [fleet], of regions and of `[[regions.NAME.pools]]`, and who serves which model.

A region without pools is one pool. Where a region has pools, the keys of replicas are theirs, and [fleet] has what they
do not say. A model is a name: SLO classes ask for one, pools serve one. Where nobody names any, there is one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from glbdes.errors import brief, nearest
from glbdes.scenario.document import Document, Problem, entries, pool_tables, table
from glbdes.scenario.elastic import Share
from glbdes.scenario.kinds import File, Label, Model, Name, NonNegative, Positive, SomeSeconds, WakeS
from glbdes.scenario.sizes import MOST, MOST_REPLICAS

if TYPE_CHECKING:
    from glbdes.scenario.model import Region, Scenario


class Pool(Model):
    """Equal replicas. Every key may stand in [fleet] for all of them, in a region's own table or in one of its pools"""

    profile: File | None = None  # a shipped profile's name, or a profile file
    model: Label | None = None  # that the replicas serve; compulsory where there are several
    replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] | None = None
    max_batch: Annotated[int, Field(ge=1, le=MOST)] | None = None  # default: the profile's
    kv_tokens: Annotated[int, Field(ge=2, le=MOST)] | None = None  # default: the profile's
    max_queue: Annotated[int, Field(ge=0, le=MOST)] | None = None  # default: unbounded
    host_w: NonNegative | None = None  # default: the profile's
    idle_w: NonNegative | None = None
    sleep_w: NonNegative | None = None
    host_sleep_w: NonNegative | None = None  # default: host_w, as if the server stayed on
    sleep_after_s: SomeSeconds | None = None  # default: never
    wake_s: WakeS | None = None
    embodied_kg: NonNegative | None = None  # CO2e of making a replica, servers and all; default: not told
    life_years: Positive | None = None  # over which it counts
    min_awake: Annotated[int, Field(ge=0, le=MOST_REPLICAS)] | None = None  # default: 1; rules "follow" and "planned"
    target_utilisation: Share | None = None  # default: 0.7; of replicas awake, what "follow" and plans aim at


class RegionPool(Pool):
    """`[[regions.NAME.pools]]`: equal replicas of one profile and model, beside others in the region."""

    name: Name


class Column(NamedTuple):
    """A pool as plans and engines count them."""

    place: str  # "texas", or "texas.h100"
    region: int
    pool: str | None  # its name; None: it is all that the region has
    model: str | None
    keys: Pool  # its own, before [fleet]


def columns(scenario: "Scenario") -> tuple[Column, ...]:
    """All pools: region by region, in the order of the file, those of one model side by side."""
    found: list[Column] = []
    for index, (name, region) in enumerate(scenario.regions.items()):
        found += _of_region(index, name, region, scenario.fleet.model)
    return tuple(found)


def _of_region(index: int, name: str, region: "Region", shared: str | None) -> list[Column]:
    if not region.pools:
        return [Column(name, index, None, region.model or shared, region)]
    found = [Column(f"{name}.{one.name}", index, one.name, one.model or shared, one) for one in region.pools]
    models = [one.model for one in found]
    return sorted(found, key=lambda one: models.index(one.model))


def model_of(scenario: "Scenario", slo: str) -> str | None:
    """The model that requests of class `slo` ask for: the one that it names, or the only one there is."""
    named = scenario.slo[slo].model
    return columns(scenario)[0].model if named is None else named


def broken(document: Document) -> Iterator[Problem]:
    """Every rule on pools, models and classes that `document` breaks."""
    regions = table(document, "regions")
    for name in regions:
        yield from _region(f"regions.{name}", table(regions, name))
    yield from _models(document)


def _region(place: str, region: Document) -> Iterator[Problem]:
    """Keys of replicas stand in pools or in their region, and names of pools are there once."""
    if not isinstance(region.get("pools"), list | tuple):
        return
    pools = entries(region, "pools")
    if not pools:
        return
    for key in (*Pool.model_fields, "capacity"):
        if region.get(key) is not None:
            told = ": must not stand beside the region's pools; say it in a pool, or in [fleet]"
            yield Problem(f"{place}.{key}", told)
    counts = Counter(name for pool in pools if isinstance(name := pool.get("name"), str))
    for name, count in counts.items():
        if count > 1:
            yield Problem(f"{place}.pools", f": {count} are called '{brief(name)}', must have names of their own")


def _served(document: Document) -> dict[str, str | None]:
    """The model of every pool, by the pool's path."""
    shared = table(document, "fleet").get("model")
    found = ((place, shared if pool.get("model") is None else pool["model"]) for place, pool in pool_tables(document))
    return {place: model if isinstance(model, str) else None for place, model in found}


def _models(document: Document) -> Iterator[Problem]:
    """Every class asks for a model that some pool serves; where there are several, everybody says which."""
    served = _served(document)
    models = {model: None for model in served.values() if model is not None}
    if len(models) > 1 or (models and None in served.values()):
        several = ", ".join(f"'{brief(model)}'" for model in models)
        for place in (place for place, model in served.items() if model is None):
            told = f": missing, must be given (here or in [fleet]) because others serve {several}"
            yield Problem(f"{place}.model", told)
        # Without any table [slo] all requests are of one class, which names no model.
        for name in table(document, "slo") or ("default",):
            if len(models) > 1 and table(document, "slo", name).get("model") is None:
                yield Problem(f"slo.{name}.model", f": missing, must be one of {several}")
    for name in table(document, "slo"):
        asked = table(document, "slo", name).get("model")
        if isinstance(asked, str) and served and asked not in models:
            yield Problem(f"slo.{name}.model", f" = '{brief(asked)}': no pool serves it{nearest(asked, models)}")


def labels(scenario: "Scenario") -> Mapping[str, Pool]:
    """The keys of every pool, by its place."""
    return {one.place: one.keys for one in columns(scenario)}
