"""Commands on the regions of public clouds."""

import json

import click

from glbdes.cli.output import say, show
from glbdes.errors import ScenarioError, brief
from glbdes.scenario import clouds


@click.group()
def regions() -> None:
    """Regions of public clouds: coordinates, grid zones, published PUE and WUE."""


@regions.command("list")
@click.option("--provider", type=click.Choice(clouds.PROVIDERS), help="Of this one alone.")
@click.option("--like", "text", metavar="TEXT", help="With TEXT in name, town, grid zone or time zone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
def list_regions(provider: str | None, text: str | None, as_json: bool) -> None:
    """List regions of AWS, Google Cloud and Azure: what `regions.NAME.cloud` may be in a scenario."""
    from glbdes.present import tables

    found = list(clouds.like(text, provider))
    if not found:
        told = f"no cloud region has '{brief(text)}' in its name, town, grid zone or time zone"
        raise ScenarioError(told + clouds.near(text or ""))
    if as_json:
        rows = [{**one._asdict(), "page": _page(one)} for one in found]
        say(json.dumps({"regions": rows, "sources": clouds.sources()}, indent=2))
        return
    headings = ["cloud", "town", "time zone", "grid zone", "N", "E", "PUE", "WUE, L/kWh", "published of"]
    shown = [
        [
            *(one.name, one.place, one.time_zone, one.zones[0], f"{one.latitude_deg:.2f}", f"{one.longitude_deg:.2f}"),
            *("" if value is None else f"{value:.2f}" for value in (one.pue, one.wue_l_per_kwh)),
            f"{one.of}, {one.year}" if one.year else "",
        ]
        for one in found
    ]
    show([tables.table("Cloud regions", headings, shown, text=4)], width=175)
    for name in dict.fromkeys(one.provider for one in found):
        source = clouds.sources()[name]
        say(f"{source['name']}: {source['efficiency']} ({source['fleet']})")
    say("Empty is what the provider does not publish of the region. Grid zones are named as by Electricity Maps.")


def _page(one: clouds.Cloud) -> str | None:
    return None if one.pue is None else clouds.sources()[one.provider]["efficiency"]
