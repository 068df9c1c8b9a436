"""Reports: one page that needs nothing but itself. `test_pages` looks at it in a real browser."""

import json
import re
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

import glbdes
from glbdes.cli.main import main
from glbdes.errors import RecordsError
from glbdes.present import figures
from glbdes.study import compare, report
from glbdes.study.sweep import sweep
from tests.runs import little


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    scenario = little(folder / "in")
    compare(scenario, ("nearest", "cost_carbon", "eglb"), seeds=2, out=folder / "comparison")
    file = folder / "in" / "small.toml"
    file.write_text('scenario = "little.toml"\n[[grid]]\npolicy = ["nearest", "eglb"]\nseed = [1, 2]\n')
    sweep(file, out=folder / "sweep")
    return folder


@pytest.fixture(scope="module")
def page(folder):
    report.report(folder / "comparison", folder / "comparison.html", [])
    return folder / "comparison.html"


def _specs(path):
    text = path.read_text().split('<script id="figures" type="application/json">')[1].split("</script>")[0]
    return json.loads(text)


class Links(HTMLParser):
    """What a page would load or lead to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for key, value in attrs if key in ("src", "href", "action", "data")]


def test_a_page_loads_nothing_and_is_small(page):
    links = Links()
    links.feed(page.read_text())
    assert links.found == []
    assert page.stat().st_size < 5_000_000
    assert "default-src 'none'" in page.read_text()


def test_each_figure_is_there_for_a_phone_and_a_desk_with_how_to_read_it(page):
    data = _specs(page)
    names = [one["id"] for one in data["figures"]]
    assert names[:4] == ["figure-front", "figure-service", "figure-map", "figure-burden"]
    assert len(names) == 10
    assert page.read_text().count("How to read it.") == 10
    for one in data["figures"]:
        assert next(iter(one["sizes"])) == "358"
        for spec in one["sizes"].values():
            assert set(re.findall(r'"name":\s*"(data-[0-9a-f]+)"', json.dumps(spec))) <= set(data["datasets"])


def test_findings_come_before_the_table_and_the_best_is_marked(page, folder):
    text = page.read_text()
    assert text.index('class="findings"') < text.index("<table>") < text.index('id="figure-front"')
    table = glbdes.Comparison.open(folder / "comparison").table
    fairest = table.loc[table["carbon_par"].idxmin()]
    assert f"{fairest['policy']}" in text[text.index('class="findings"') : text.index("<table>")]
    assert f"<td class=best>{fairest['carbon_par']:.3f}" in text


def test_a_sweep_tells_what_its_runs_warned_of_and_noted(folder):
    swept = report.contents(folder / "sweep").text
    run = report.contents(folder / "comparison" / "runs" / "eglb-seed7").text
    assert run.notes
    assert set(run.notes) <= set(swept.notes)
    assert set(run.warnings) <= set(swept.warnings)
    assert report._counted({"a": 2, "b": 4}, 4) == ["b", "a (in 2 of 4 runs)"]


def test_the_footer_says_where_it_comes_from(page):
    text = page.read_text()
    for said in ("Scenario", "little", "nearest, cost_carbon, eglb", "sha256", "glbdes 0.", "Scenario file"):
        assert said in text
    assert "less nearest" in text  # paired differences


def test_a_run_and_a_sweep_have_their_pages_too(folder):
    run = report.report(folder / "comparison" / "runs" / "eglb-seed7", folder / "run.html", [])
    assert [one["id"] for one in _specs(run[0])["figures"]][:2] == ["figure-service", "figure-map"]
    assert not (folder / "run_figures").exists()
    swept = report.report(folder / "sweep", folder / "sweep.html", ["svg", "png", "pdf"])
    assert [one["id"] for one in _specs(swept[0])["figures"]] == ["figure-front"]
    assert [path.name for path in swept[1:]] == ["front.svg", "front.png", "front.pdf"]
    assert all(path.stat().st_size > 1000 for path in swept)


def test_text_of_users_cannot_become_markup(folder):
    text = report.page.render(report.page.Text("<b>", "&", about={"<i>": "</script>"}, file="<!--"), [], [])
    assert "&lt;b&gt;" in text
    assert "<i>" not in text
    assert "&lt;/script&gt;" in text


def test_what_is_no_result_is_refused(folder, tmp_path):
    told = CliRunner().invoke(main, ["report", str(folder / "in"), "-o", str(tmp_path / "page.html")])
    assert told.exit_code == 2
    assert "neither a run nor a comparison nor a sweep" in told.stderr
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RecordsError, match="format 'jpg', must be one of svg, png, pdf"):
        report.report(folder / "sweep", tmp_path / "page.html", ["jpg"])


def test_notebooks_show_the_table_and_figures(folder):
    comparison = glbdes.Comparison.open(folder / "comparison")
    run = comparison.run("eglb")
    for shown in (comparison, run):
        text = shown._repr_html_()
        assert "<table>" in text
        assert text.count("<svg") == 2
        assert "<script" not in text
    assert "concat" in comparison.figure("front").to_dict()
    assert figures.svg(run.figure("map")).startswith("<svg")
