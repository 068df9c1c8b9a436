"""Rows of comparisons: fairness, fronts and paired intervals, by hand and by identity."""

import numpy as np
import pandas as pd
import pytest

from glbdes.records import headline


def test_gini_is_0_for_even_amounts_and_known_for_uneven_ones():
    assert headline.gini(np.array([2.0, 2.0, 2.0])) == 0
    assert headline.gini(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.75)  # one bears all: 1 - 1/n
    assert headline.gini(np.array([1.0, 3.0])) == pytest.approx(0.25)
    assert headline.gini(np.zeros(3)) is None


def test_the_front_holds_exactly_what_nothing_beats():
    x = np.array([1.0, 2.0, 3.0, 2.0, 1.0, np.nan])
    y = np.array([3.0, 2.0, 1.0, 3.0, 3.0, 0.0])
    assert headline.pareto(x, y).tolist() == [True, True, True, False, True, False]  # twins are both on it


def test_half_widths_are_those_of_students_t():
    assert headline.half_width([1.0, 2.0, 3.0]) == pytest.approx(4.302653 * 1 / np.sqrt(3), rel=1e-6)
    assert np.isnan(headline.half_width([1.0]))


def test_paired_differences_forget_what_a_seed_does_to_every_policy():
    seeds = np.arange(8)
    noise = np.random.default_rng(1).normal(0, 100, 8)
    rows = [
        {"policy": policy, "seed": seed, **dict.fromkeys(headline.FIGURES, 1000 + noise[seed] + more)}
        for policy, more in (("a", 0.0), ("b", 1.0))
        for seed in seeds
    ]
    table = headline.by_policy(pd.DataFrame(rows)).set_index("policy")
    b = table.loc["b"]
    assert b["cost_usd"] == pytest.approx(1001 + noise.mean())
    assert b["cost_usd_difference"] == pytest.approx(1.0)
    assert b["cost_usd_difference_high95"] - b["cost_usd_difference_low95"] < 1e-9  # constant: no doubt
    assert b["cost_usd_half95"] == pytest.approx(headline.half_width(1001 + noise))
    assert table.loc["a", "cost_usd_difference"] == 0


def test_draws_of_signals_are_the_unit_where_there_are_several():
    """Seeds within a draw of signals are averaged first: three draws of two seeds are three values, not six."""
    noise = np.random.default_rng(2).normal(0, 100, 3)
    rows = [
        {
            "policy": policy,
            "seed": seed,
            "signal_seed": draw,
            **dict.fromkeys(headline.FIGURES, noise[draw] + seed * more),
        }
        for policy, more in (("a", 1.0), ("b", 3.0))
        for draw in range(3)
        for seed in range(2)
    ]
    table = headline.by_policy(pd.DataFrame(rows)).set_index("policy")
    assert table["draws"].tolist() == [3, 3]
    assert table.loc["a", "cost_usd_half95"] == pytest.approx(headline.half_width(noise + 0.5))
    assert table.loc["b", "cost_usd_difference"] == pytest.approx(1.0)
    assert table.loc["b", "cost_usd_difference_high95"] == pytest.approx(1.0)  # seeds do not count as doubt
    swept = pd.DataFrame(rows).rename(columns={"signal_seed": "signals.seed"})
    means = headline.over_seeds(swept, ["policy"]).set_index("policy")
    assert means.loc["a", "cost_usd_half95"] == table.loc["a", "cost_usd_half95"]


@pytest.mark.parametrize(("chat", "batch", "missed", "least"), [(0.94, 0.5, 1.0, 0.5), (0.95, 1.0, 0.0, 0.95)])
def test_a_class_that_attains_less_than_it_asks_for_is_missed(chat, batch, missed, least):
    slo = {
        "chat": {"all": chat, "asked": 0.95},
        "batch": {"all": batch, "asked": None},
        "none": {"all": None, "asked": 1},
    }
    assert headline._classes({"slo": slo}) == {"slo_missed": missed, "slo_least_share": least}
    assert headline._classes({"slo": {}}) == {"slo_missed": None, "slo_least_share": None}
