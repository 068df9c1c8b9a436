"""Pages in a real browser: nothing goes wrong, nothing is cut off, controls work, and they look as they did.

`python -m tests.study.test_pages` keeps the pictures anew; look at each before it is committed.
"""

import sys
import tempfile
from pathlib import Path

import pytest

from glbdes.study import compare, report
from glbdes.study.sweep import sweep
from tests import browser
from tests.runs import little

PICTURES = Path(__file__).parent / "pictures"
WIDTHS = (390, 768, 1400)
TALLEST_PX = 6000  # on a desk
FAULTS = """
[[faults]]
region = "here"
start_h = 1.0
end_h = 2.0
[[faults]]
region = "there"
signal = "carbon"
start_h = 4.0
end_h = 6.0
"""
KNOB = """scenario = "little.toml"
set = ["time.slots=12"]
[[grid]]
policy.name = ["eglb", "cost_carbon"]
objective.carbon_usd_per_t = [0.0, 1000.0, 4000.0]
seed = [1, 2]
"""
MARKS = "document.getElementById('figure-{}').querySelector('svg').innerHTML"


def make(folder):
    """The pages of a comparison, a run and a sweep, by name."""
    scenario = little(folder / "in")
    scenario.write_text(scenario.read_text() + FAULTS)
    policies = ("nearest", "cost_carbon", "eglb")
    compare(scenario, policies, seeds=2, overrides=["time.slots=12"], out=folder / "comparison")
    (folder / "in" / "knob.toml").write_text(KNOB)
    sweep(folder / "in" / "knob.toml", out=folder / "sweep")
    sources = {"comparison": "comparison", "run": "comparison/runs/eglb-seed7", "sweep": "sweep"}
    return {name: report.report(folder / at, folder / f"{name}.html", [])[0] for name, at in sources.items()}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return make(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["comparison", "run", "sweep"])
def test_a_page_is_drawn_without_a_complaint_and_fills_its_width(pages, chromium, name, width):
    with browser.opened(chromium, pages[name], width) as (page, wrong):
        figures = page.evaluate("document.querySelectorAll('.chart').length")
        assert int(page.evaluate("document.documentElement.dataset.drawn")) == figures > 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = page.evaluate(
            "[...document.querySelectorAll('.chart')].map((one) => [one.id, one.clientWidth, "
            "one.querySelector('svg').getBoundingClientRect().width])"
        )
        for figure, room, drawn in sizes:
            assert 0.95 * room <= drawn <= room + 1.5, figure
        if width == max(WIDTHS):
            assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST_PX
        assert wrong == []


@pytest.mark.slow
def test_choices_change_what_is_drawn(pages, chromium):
    with browser.opened(chromium, pages["comparison"], 1400) as (page, wrong):
        for figure, control in (("front", "select[name=x1]"), ("front", "select[name=draw]"), ("map", "select")):
            before = page.evaluate(MARKS.format(figure))
            page.locator(f"#figure-{figure}-controls {control}").last.select_option(index=1)
            page.wait_for_function(f"(before) => {MARKS.format(figure)} !== before", arg=before)
        before = page.evaluate(MARKS.format("map"))
        page.locator("#figure-map-controls .play").click()
        page.wait_for_function(f"(before) => {MARKS.format('map')} !== before", arg=before)
        before = page.evaluate(MARKS.format("service"))
        strip = page.locator("#figure-service svg .mark-area path").first.bounding_box()
        middle = strip["y"] + strip["height"] / 2
        page.mouse.move(strip["x"] + 0.2 * strip["width"], middle)
        page.mouse.down()
        page.mouse.move(strip["x"] + 0.6 * strip["width"], middle, steps=5)
        page.mouse.up()
        page.wait_for_function(f"(before) => {MARKS.format('service')} !== before", arg=before)
        assert wrong == []


@pytest.mark.slow
def test_the_theme_changes_and_the_window_may_be_turned(pages, chromium):
    with browser.opened(chromium, pages["run"], 1400, "dark") as (page, wrong):
        colour = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(colour)
        page.locator("#theme").click()
        page.wait_for_function(f"(before) => {colour} !== before", arg=dark)
        page.set_viewport_size({"width": 390, "height": 900})
        page.wait_for_function("document.querySelector('.chart').dataset.size === '358'")
        assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "kept", ["comparison-1400-dark", "comparison-1400-light", "comparison-390-light", "sweep-1400-light"]
)
def test_a_page_looks_as_it_did(pages, chromium, kept):
    shape, picture = (PICTURES / f"{kept}.png").read_bytes(), shot(chromium, pages, kept)
    difference, ratio = browser.apart(chromium, shape, picture)
    assert difference < browser.MOST_APART
    assert ratio == pytest.approx(1, abs=0.06)


@pytest.mark.slow
def test_a_page_without_a_figure_does_not_look_as_it_did(pages, chromium):
    kept = (PICTURES / "comparison-1400-light.png").read_bytes()
    with browser.opened(chromium, pages["comparison"], 1400) as (page, _):
        for figure in ("map", "burden", "service"):
            page.evaluate(f"document.getElementById('figure-{figure}').style.visibility = 'hidden'")
        difference, _ = browser.apart(chromium, kept, page.screenshot(full_page=True))
    assert difference > browser.MOST_APART


def shot(chromium, pages, kept):
    """A picture of the page, width and theme in the name `kept`."""
    name, width, theme = kept.split("-")
    with browser.opened(chromium, pages[name], int(width), theme) as (page, _):
        return page.screenshot(full_page=True)


def main(names):
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        pages = make(Path(folder))
        for kept in names:
            (PICTURES / f"{kept}.png").write_bytes(browser.small(chromium, shot(chromium, pages, kept)))


if __name__ == "__main__":
    main(sys.argv[1:] or sorted(path.stem for path in PICTURES.glob("*.png")))
