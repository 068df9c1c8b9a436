"""Wet bulb and WUE against published numbers, the psychrometric equation, and psychrolib."""

import numpy as np
import pytest

from glbdes.errors import SignalError
from glbdes.signals import weather


def solved_wet_bulb_c(air_c: float, humidity: float, pressure_kpa: float = 101.325) -> float:
    """By bisection: e = es(Tw) - 0.000662 p (T - Tw), es by Buck (1981)."""

    def saturated_kpa(t: float) -> float:
        return 0.61121 * float(np.exp(17.502 * t / (240.97 + t)))

    low, high = air_c - 60.0, air_c
    for _ in range(60):
        middle = (low + high) / 2
        vapour = saturated_kpa(middle) - 0.000662 * pressure_kpa * (air_c - middle)
        low, high = (low, middle) if vapour > humidity * saturated_kpa(air_c) else (middle, high)
    return low


def test_stulls_own_example() -> None:
    """20 degC and 50 %: 13.7 degC, in the paper."""
    assert weather.stull_wet_bulb_c(np.array([20.0]), np.array([50.0]))[0] == pytest.approx(13.7, abs=0.05)


@pytest.mark.parametrize("air_c", [0.0, 10.0, 20.0, 30.0, 40.0])
@pytest.mark.parametrize("percent", [20.0, 50.0, 80.0, 99.0])
def test_stull_is_within_his_bounds_of_the_psychrometric_equation(air_c: float, percent: float) -> None:
    found = weather.stull_wet_bulb_c(np.array([air_c]), np.array([percent]))[0]
    assert -1.0 <= found - solved_wet_bulb_c(air_c, percent / 100) <= 0.65


def test_wet_bulb_is_never_above_the_air() -> None:
    air = np.linspace(-30, 45, 76)
    assert (weather.stull_wet_bulb_c(air, np.full(76, 100.0)) <= air).all()


def test_psychrolib_agrees_with_the_psychrometric_equation_where_it_is_installed() -> None:
    pytest.importorskip("psychrolib")
    found = weather.exact_wet_bulb_c(np.array([30.0, np.nan]), np.array([40.0, 50.0]), 0.0)
    assert found[0] == pytest.approx(solved_wet_bulb_c(30.0, 0.4), abs=0.2)
    assert np.isnan(found[1])


def test_without_psychrolib_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psychrolib", None)
    with pytest.raises(SignalError, match=r"pip install glbdes\[weather\], or take --wet-bulb stull"):
        weather.exact_wet_bulb_c(np.array([20.0]), np.array([50.0]), 0.0)


def test_wue_is_the_polynomial_with_a_floor() -> None:
    """25 degC is 77 degF: 6e-5 77^3 - 0.01 77^2 + 0.61 77 - 10.4 = 4.67198, times 6/5."""
    found = weather.ren_wue_l_per_kwh(np.array([25.0, -10.0, np.nan]), 6.0)
    assert found[0] == pytest.approx(1.2 * 4.67198, abs=1e-9)
    assert found[1] == 0.05
    assert np.isnan(found[2])


@pytest.mark.parametrize("cycles", [1.0, 0.5, float("nan"), float("inf")])
def test_cycles_are_more_than_one(cycles: float) -> None:
    with pytest.raises(SignalError, match="--cycles"):
        weather.ren_wue_l_per_kwh(np.array([25.0]), cycles)
