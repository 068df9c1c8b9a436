"""Least travel: of all plans with the same regional loads, the one whose requests are the least time on their way.

A request costs and causes the same wherever it enters, so programmes over prices of regions leave open which gateway's
requests fill which region, and cost, footprints and objective do not depend on it. Latency does. Hence a second stage:

    min  sum_{g,r} demand[g] latency[g,r] w[g,r]   s.t.  sum_g demand[g] w[g,r] as it was,  w a plan within the mask

which is Hitchcock's problem (`hitchcock`). Where delay has a price, that price has been paid in the programme before,
and with the loads that it chose, least travel is what it wanted, too.
"""

from glbdes.world import Bools, Floats


def least(weights: Floats, demand: Floats, latency_s: Floats, mask: Bools) -> Floats:
    """`weights` [g, r] as they are, or others of the same regional loads and of the least network time.

    demand : float[g], >= 0. latency_s : float[g, r] one way, >= 0. mask : bool[g, r]; `weights` keep to it. Loads are
    the same to 1e-12 of the total demand. Gateways without demand keep their weights; such as are alike, with the same
    latencies and masks, get the same ones.
    """
    if 1 in mask.shape or bool((latency_s == latency_s[0]).all() and (mask == mask[0]).all()):
        return weights
    from glbdes.optimum import hitchcock  # here, as small runs may do without: numba takes a while to load

    return hitchcock.solve(latency_s, demand, weights, mask)
