"""Where gateways and regions stand, and their local time: rules on the plain document, what clouds and homes lend."""

from collections.abc import Iterator
from typing import Any, Final

from glbdes.base import zones
from glbdes.errors import brief, nearest
from glbdes.scenario import clouds
from glbdes.scenario.document import Document, Problem, table

COORDINATES: Final = ("latitude_deg", "longitude_deg")


def at_home(document: Document) -> dict[str, Any]:
    """`document`, with the place of its cloud region for every region that does not say where it stands, then with that
    of its home for every gateway that does not, and with the local time of the home's cloud region."""
    regions, gateways = table(document, "regions"), table(document, "gateways")
    stood = {name: {**_in_cloud(region), **region} if _in_cloud(region) else region for name, region in regions.items()}
    document, regions = ({**document, "regions": stood}, stood) if regions else (document, regions)
    moved = {
        name: {**gateway, **place} if (place := _lent(name, gateway, regions)) else gateway
        for name, gateway in gateways.items()
    }
    return {**document, "gateways": moved} if gateways else dict(document)


def broken(document: Document) -> Iterator[Problem]:
    """Every rule on places and time zones that `document` breaks.

    Without a table of latencies a gateway stands somewhere: there, or at its home. A region may leave it out, and is
    taken to be at 0 N 0 E, of which `glbdes check` warns.
    """
    regions, gateways = table(document, "regions"), table(document, "gateways")
    measured = table(document, "network").get("latency_s") is not None
    for kind, found in (("regions", regions), ("gateways", gateways)):
        for name in found:
            place = table(found, name)
            given = [key for key in COORDINATES if place.get(key) is not None]
            if len(given) == 1:
                lacking = next(key for key in COORDINATES if key not in given)
                yield Problem(f"{kind}.{name}.{lacking}", f": missing, must be given because {given[0]} is")
            elif (
                not given and kind == "gateways" and not measured and place.get("home") is None and name not in regions
            ):
                why = "and no home region whose place it could have, must be given (or all of network.latency_s)"
                yield Problem(f"gateways.{name}", f": has no latitude_deg and longitude_deg {why}")
    for name in gateways:
        yield from _time_zone(name, table(gateways, name))
    for name in regions:
        cloud = table(regions, name).get("cloud")
        if isinstance(cloud, str) and clouds.of(cloud) is None:
            yield Problem(f"regions.{name}.cloud", f" = {clouds.unknown(cloud)}")


def _time_zone(name: str, gateway: Document) -> Iterator[Problem]:
    zone, place = gateway.get("time_zone"), f"gateways.{name}"
    if zone is None:
        return
    if gateway.get("utc_offset_h") is not None:
        yield Problem(place, ": has both `time_zone` and `utc_offset_h`, must have at most one of them")
    if isinstance(zone, str) and zone not in zones.names():
        rule = f"no such time zone{nearest(zone, sorted(zones.names()))} (IANA names, as in 'Europe/Berlin')"
        yield Problem(f"{place}.time_zone", f" = '{brief(zone)}': {rule}")


def _home(name: str, gateway: Document) -> str:
    home = gateway.get("home")
    return home if isinstance(home, str) else name


def _in_cloud(region: Any) -> dict[str, Any]:
    """The coordinates that a region takes over from its cloud region; none if it has any."""
    region = table({"region": region}, "region")
    cloud = clouds.of(region.get("cloud"))
    return {} if cloud is None or _has(region, *COORDINATES) else cloud.place_deg


def _lent(name: str, gateway: Any, regions: Document) -> dict[str, Any]:
    """What a gateway takes over: the coordinates, if it has none, and the time zone of its home's cloud region."""
    gateway = table({"gateway": gateway}, "gateway")
    if not gateway:
        return {}
    home = table(regions, _home(name, gateway))
    cloud = clouds.of(home.get("cloud"))
    clock = {} if cloud is None or _has(gateway, "time_zone", "utc_offset_h") else {"time_zone": cloud.time_zone}
    if _has(gateway, *COORDINATES):
        return clock
    return clock | {key: home[key] for key in COORDINATES if home.get(key) is not None}


def _has(entry: Document, *keys: str) -> bool:
    return any(entry.get(key) is not None for key in keys)
