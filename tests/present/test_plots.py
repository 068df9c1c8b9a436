"""Figures are functions of tables: what is drawn, for a desk and for a phone."""

import numpy as np
import pandas as pd
import pytest
import vl_convert

from glbdes.errors import RecordsError
from glbdes.present import figures, findings, plots
from glbdes.present.plots import alike, atlas, labels, style
from glbdes.records import daily, extracts
from glbdes.study import compare
from glbdes.units import NS_PER_S
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
        "front", "service", "map", "burden", "footprints", "matrix", "hours", "duals", "latency", "energy"
    }  # fmt: skip
    for one in all_figures:
        for draw in filter(None, (one.draw, one.live)):
            svg = figures.svg(draw(width))
            assert _marks(svg) > 1, one.name
            assert _width(svg) <= width * 1.08, one.name
        assert one.how.endswith(".")


def test_service_over_time_is_that_of_the_records(found, runs):
    served, summary = daily.service(runs["eglb"]), found.run("eglb").summary
    assert served["carbon_kg_per_h"].sum() == pytest.approx(summary["totals"]["carbon_kg"])  # slots of an hour
    requests = runs["eglb"].counted.to_table(columns=["region", "arrival_ns", "ttft_s"]).to_pandas()
    period_ns = (20 + runs["eglb"].info["warmup_s"]) * NS_PER_S
    first = requests[(requests["arrival_ns"] < period_ns) & (requests["region"] == "here")]
    row = served[(served["region"] == "here") & (served["time_utc"] == served["time_utc"].min())]
    assert row["ttft_p95_s"].item() == pytest.approx(np.quantile(first["ttft_s"].dropna(), 0.95))
    assert served["slo_share"].dropna().between(0, 1).all()


def test_hours_of_the_day_add_up_to_the_whole_run(runs):
    moved, borne = daily.moved(runs["eglb"]), daily.burdens(runs["eglb"])
    assert moved[moved["hour"] == daily.WHOLE]["requests"].sum() == moved[moved["hour"] >= 0]["requests"].sum() > 0
    whole = borne[borne["hour"] == daily.WHOLE]
    assert whole.groupby("footprint")["relative"].mean().to_numpy() == pytest.approx(1)


def test_flows_take_the_shorter_way_around_the_world():
    tokyo, california = (139.7, 35.7), (-122.4, 37.8)
    curve = atlas._curve("pair", tokyo, california)
    degrees = [x for x, _ in curve["geometry"]["coordinates"]]
    assert min(abs(x) for x in degrees) > 120  # over the Pacific, never near Greenwich
    assert 0 < curve["angle"] < 180  # eastwards


def test_what_is_the_same_is_drawn_once():
    table = pd.DataFrame({"gateway": ["a", "a", "b", "b", "c", "c"], "share": [0.2, 0.8, 0.2, 0.8, 0.2, 0.8]})
    assert list(alike.once(table, "gateway", ["share"], "gateways")["gateway"]) == ["all 3 gateways, alike"] * 2
    table.loc[5, "share"] = 0.7
    assert list(alike.once(table, "gateway", ["share"], "gateways")["gateway"]) == ["a, b", "a, b", "c", "c"]
    table.loc[3, "share"] = 0.6
    assert alike.once(table, "gateway", ["share"], "gateways") is table


def test_findings_are_those_of_the_table():
    table = pd.DataFrame({
        "policy": ["cost", "fair", "offline"],
        "cost_usd": [100.0, 104.6, 105.0],
        "carbon_par": [1.41, 1.15, 1.1],
        "ttft_p95_s": [0.3, 0.17, 0.2],
        "objective_usd": [200.0, 180.0, 170.0],
        "requests": [10.0, 10.0, 10.0],
        "rejected": [0.0, 1.0, 0.0],
    })  # fmt: skip
    said = findings.of_comparison(table)
    assert said[0] == (
        "fair: carbon PAR 1.15 instead of 1.41 for 4.6 % more cost than the cheapest (cost); p95 TTFT 0.17 s."
    )
    assert "fair is the quickest: p95 TTFT 0.17 s" in said[1]
    assert said[2].startswith("fair has the least objective")  # offline knows the future
    assert said[3] == "Not all requests were served: under fair 10 % were lost."


def _marks(svg):
    """Groups of marks with something in them."""
    return svg.count('role="graphics-symbol"')


def _width(svg):
    return float(svg.split('viewBox="0 0 ')[1].split()[0])


def test_there_is_a_bar_for_every_region_policy_and_footprint(runs):
    regional = extracts.regional(runs)
    assert regional.groupby("policy")["carbon_kg"].first().nunique() == 2  # two policies burden alike: one panel
    svg = figures.svg(plots.burden(regional))
    assert svg.count('aria-roledescription="bar"') == 2 * 2 * 2


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
