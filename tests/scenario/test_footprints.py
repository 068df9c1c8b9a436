"""Rules on footprints that a scenario names, and on embodied carbon."""

import pytest

from glbdes.errors import ScenarioError
from glbdes.records import columns, metrics
from glbdes.scenario import model as scenario
from glbdes.scenario.footprints import PREFIXES, TAKEN

HEALTH = 'footprints.health={unit="usd", price_usd_per_unit=1.0}'
LITRES = 'footprints.scarcity={unit="l", per="water_l"}'


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (['footprints.carbon={unit="g"}'], "footprints.carbon: carbon is there already, priced by objective.carbon_u"),
        (['footprints.Health={unit="g"}'], "footprints.Health: this name must be lower-case letters"),
        (["footprints.health={}"], "footprints.health.unit: missing, must be given"),
        (['footprints.health={unit="usd_m"}'], "footprints.health.unit = 'usd_m', must be lower-case letters"),
        (['footprints.health={unit="usd", price=1}'], "footprints.health.price: unknown key"),
        ([HEALTH, "footprints.health.price_usd_per_unit=-1"], "footprints.health.price_usd_per_unit = -1, must be >="),
        (['footprints.it={unit="kwh"}'], "footprints.it: records may have a column 'it_kwh' already"),
        ([LITRES, "footprints.scarcity.pue=false"], "footprints.scarcity.pue = false, must not be given with per = '"),
        ([LITRES, 'footprints.scarcity_on_site={unit="l"}'], "its series 'scarcity_on_site' is that of footprints.sc"),
        (["regions.utah.footprints.helth=1", HEALTH], "regions.utah.footprints.helth: no such footprint; did you m"),
        (["regions.utah.footprints.health=-1", HEALTH], "regions.utah.footprints.health = -1, must be >= 0"),
        (["regions.utah.footprint_weights.helth=1", HEALTH], "regions.utah.footprint_weights.helth: no such footpr"),
        (["regions.utah.footprint_weights.water=1"], "regions.utah.footprint_weights.water: must be regions.utah."),
        (['faults=[{region="utah", signal="helth", start_h=1, end_h=2}]', HEALTH], "faults.0.signal = 'helth', must be"
         " 'price', 'carbon', 'water' or 'health'; did you mean 'health'?"),
        (["fleet.embodied_kg=876.5"], "regions.utah.life_years: missing, must be given (here or in [fleet]) because"),
        (["regions.utah.life_years=3"], "regions.utah.embodied_kg: missing, must be given (here or in [fleet]) bec"),
        (["fleet.embodied_kg=-1", "fleet.life_years=3"], "fleet.embodied_kg = -1, must be >= 0"),
    ],
)  # fmt: skip
def test_a_slip_has_its_message(settings: list[str], message: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        scenario.load("tiny", settings)
    assert message in str(refused.value)


def test_footprints_and_embodied_carbon_are_taken() -> None:
    settings = [HEALTH, LITRES, "regions.*.footprints={health=0.1, scarcity=2}", "fleet.embodied_kg=876.5"]
    settings += ["fleet.life_years=3", "regions.utah.footprint_weights={health=2}"]
    chosen, _ = scenario.load("tiny", settings)
    assert list(chosen.footprints) == ["health", "scarcity"]
    assert chosen.footprints["health"].pue
    assert chosen.regions["utah"].footprint_weights == {"health": 2.0}


def test_no_footprint_can_have_the_name_of_a_column() -> None:
    """Whatever ends in one word may be a name and a unit."""
    known = {*columns.REQUESTS.names, *columns.SLOTS.names, *metrics.TOTALS, *metrics.DELAYS}
    mistakable = {one for one in known if "_" in one and not one.startswith(PREFIXES)}
    mistakable -= {"carbon_kg", "carbon_g", "water_l"}  # whose names are taken
    assert {one for one in mistakable if "_per_" not in one} - set(TAKEN) == set()
