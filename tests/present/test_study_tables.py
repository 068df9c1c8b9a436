"""Tables of text: digits that mean something, and text that survives Markdown and LaTeX."""

import pytest

from glbdes.present import study_tables


@pytest.mark.parametrize(
    ("middle", "half", "text"),
    [
        (-0.09634, 0.00841, "-0.0963 ±0.0084"),
        (-344.21, 1.53, "-344.2 ±1.5"),
        (-1774.4, 13.2, "-1,774 ±13"),
        (0.119, 0.00014, "+0.11900 ±0.00014"),
        (0.0, 0.0, "0 ±0"),
        (2.0, 1e-12, "+2.000000 ±0.000000"),
    ],
)
def test_a_difference_has_the_decimals_of_its_doubt(middle, half, text):
    assert study_tables.with_doubt(middle, half) == text


def test_latex_has_no_bare_marks():
    text = study_tables.latex(["", "cost_carbon"], [["over & above, %", "-1.0 ±0.1 %"]])
    assert r"cost\_carbon" in text
    assert r"over \& above, \% & -1.0 $\pm$0.1 \% \\" in text
