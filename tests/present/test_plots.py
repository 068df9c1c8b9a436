"""Figures are functions of tables: what is drawn, for a desk and for a phone."""

import numpy as np
import pandas as pd
import pytest
import vl_convert

from glbdes.errors import RecordsError
from glbdes.present import figures, plots
from glbdes.present.plots import labels, style
from glbdes.records import extracts
from glbdes.study import compare
from tests.runs import little


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    return compare(little(folder / "in"), ("nearest", "cost_carbon", "eglb"), out=folder / "out")


@pytest.fixture(scope="module")
def runs(found):
    return found.records()


def test_extracts_add_up_to_the_runs_own_totals(found, runs):
    summary = found.run("eglb").summary
    regional = extracts.regional(runs).set_index(["policy", "region"])
    for name, region in summary["regions"].items():
        row = regional.loc[("eglb", name)]
        assert row["carbon_kg"] == pytest.approx(region["carbon_kg"])
        assert row[list(extracts.PARTS)].sum() == pytest.approx(region["it_kwh"])
    last = extracts.over_time(runs).groupby(["policy", "region"]).last()
    assert np.allclose(last["water_l"], regional["water_l"].sort_index())


def test_shares_of_what_a_gateway_sends_sum_to_1(runs):
    flows = extracts.flows(runs)
    assert np.allclose(flows.groupby(["policy", "gateway"])["share"].sum(), 1)
    assert np.allclose(extracts.hours(runs).groupby(["policy", "gateway", "hour"])["share"].sum(), 1)
    nearest = flows[flows["policy"] == "nearest"]
    assert (nearest["share"] == (nearest["gateway"] == nearest["region"])).all()


def test_latency_levels_are_quantiles_of_the_records(found, runs):
    waits = extracts.waits(runs)
    median = waits[(waits["policy"] == "eglb") & (waits["measure"] == "TTFT") & np.isclose(waits["level"], 0.5)]
    assert median["seconds"].item() == pytest.approx(found.run("eglb").summary["latency_s"]["ttft"]["p50"])


def test_duals_are_of_policies_that_show_any(runs):
    assert set(extracts.duals(runs)["policy"]) == {"eglb"}
    assert extracts.duals({"nearest": runs["nearest"]}).empty


def test_long_runs_are_thinned_to_what_can_be_drawn_and_keep_their_end(runs):
    frame = pd.DataFrame({"slot": np.repeat(np.arange(1000), 2), "value": np.arange(2000)})
    thin = extracts._thinned(frame, 7)
    assert len(thin) == 14
    assert thin["value"].iloc[-1] == 1999


@pytest.mark.parametrize("width", [style.WIDTH, style.NARROW])
def test_every_figure_is_drawn_and_as_wide_as_it_may_be(found, runs, width):
    all_figures = [*figures.of_comparison(runs, found.table), *figures.of_run(runs["eglb"])]
    assert {one.name for one in all_figures} == {
        "front", "burden", "footprints", "matrix", "hours", "duals", "latency", "energy", "map"
    }  # fmt: skip
    for one in all_figures:
        svg = figures.svg(one.draw(width))
        assert _marks(svg) > 1, one.name
        assert _width(svg) <= width * 1.06, one.name
        assert one.how.endswith(".")


def _marks(svg):
    """Groups of marks with something in them."""
    return svg.count('role="graphics-symbol"')


def _width(svg):
    return float(svg.split('viewBox="0 0 ')[1].split()[0])


def test_there_is_a_bar_for_every_region_policy_and_footprint(runs):
    svg = figures.svg(plots.burden(extracts.regional(runs)))
    assert svg.count('aria-roledescription="bar"') == 3 * 2 * 2


def test_the_front_marks_what_nothing_beats():
    table = pd.DataFrame({
        "policy": ["a", "b", "c"],
        "ttft_p95_s": [1.0, 2.0, 3.0],
        "cost_usd": [1.0, 2.0, 3.0],
        "carbon_par": [3.0, 1.0, 2.0],
        "water_par": [1.0, 1.0, 1.0],
    })  # fmt: skip
    spec = plots.front(table).to_dict()
    panel = spec["concat"][0]
    rows = spec["datasets"][next(layer["data"]["name"] for layer in panel["layer"] if "point" in str(layer["mark"]))]
    assert {row["policy"]: row["on_front"] for row in rows} == {"a": True, "b": True, "c": False}


def test_a_front_without_latency_has_money_alone(found):
    spec = plots.front(found.table.assign(ttft_p95_s=np.nan)).to_dict()
    assert len(spec["concat"]) == 2


def test_names_do_not_lie_on_one_another_nor_on_points():
    points = [(100.0, 100.0), (104.0, 101.0), (99.0, 108.0), (200.0, 3.0), (290.0, 100.0)]
    texts = ["cost", "carbon", "cost_carbon_water", "eglb", "offline"]
    boxes = [labels._box(c, t) for c, t in zip(labels.place(points, texts, 300, 200), texts, strict=True)]
    for i, one in enumerate(boxes):
        assert 0 <= one.left < one.right <= 300
        for other in boxes[i + 1 :]:
            assert (
                one.right <= other.left or other.right <= one.left or one.bottom <= other.top or other.bottom <= one.top
            )


def test_policies_differ_without_colour_too():
    assert (
        len(style.COLOURS)
        == len(set(style.COLOURS))
        == len(set(style.SHAPES))
        == len({str(d) for d in style.DASHES})
        == 8
    )


def test_an_unknown_figure_is_told_with_the_nearest_name(runs):
    with pytest.raises(RecordsError, match="did you mean 'burden'"):
        figures.find(figures.of_run(runs["eglb"]), "burdn")


def test_figures_become_files_that_papers_take(runs):
    spec = figures.spec(plots.energy(extracts.regional(runs)))
    assert vl_convert.vegalite_to_pdf(spec).startswith(b"%PDF")
    assert vl_convert.vegalite_to_png(spec).startswith(b"\x89PNG")


def test_a_chart_in_a_notebook_is_a_picture_that_needs_no_network(found):
    chart = found.figure("burden")
    for shown in (chart, chart.properties(title="the same, named")):
        bundle = shown._repr_mimebundle_()
        assert bundle["image/svg+xml"].startswith("<svg")
        assert not any("javascript" in kind or "html" in kind for kind in bundle)
    assert chart.to_dict() == figures.find(found.figures(), "burden").draw(style.WIDTH).to_dict()
