"""What a step of a replica that schedules in chunks takes and costs: bare arithmetic, without NumPy.

A *step* is one forward pass. It computes p prompt tokens, in chunks of c_i tokens behind k_i tokens computed before,
and one token of each of b decoding requests, whose K context tokens it reads (their new ones included). In seconds, or
with other coefficients in joules, it takes (docs/model.md, eq. 13)

    D(p + b) + h n + a_m + beta_m b + gamma_m K + delta sum c_i k_i + eps sum c_i^2,    n = b + chunks scheduled

where m is mixed if the step has a chunk, and decode otherwise. D is a table by tokens, linear between its nodes.

As in `physics.py`, scalars go in and come out, so that every engine may call and a compiler may take these functions;
the order of the operations is part of the contract. They hold for arrays, too.
"""

from typing import Any

# Scalars in engines, arrays in fits.
Number = Any


def step_cost(
    tokens_cost: Number,
    scheduled: Number,
    batch: Number,
    context: Number,
    past: Number,
    square: Number,
    mode: tuple[Number, Number, Number],
    each: tuple[float, float, float],
) -> Number:
    """Seconds or joules of a step (eq. 13).

    `tokens_cost`: D(p + b). `scheduled`: chunks and decoding requests, n. `batch`, `context`: b and K.
    `past`, `square`: sum c_i k_i and sum c_i^2 over its chunks. `mode`: a, beta, gamma of the step's kind.
    `each`: h, delta, eps.
    """
    a, beta, gamma = mode
    head, delta, eps = each
    return tokens_cost + head * scheduled + a + beta * batch + gamma * context + delta * past + eps * square


def shared_cost(tokens_cost: Number, first_cost: Number, tokens: Number, own: Number) -> Number:
    """What of D(tokens) a request pays that computes `own` of a step's tokens, beyond its equal share of D(1).

    The step reads the weights for everybody, whatever it computes: D(1) = `first_cost`. The rest grows with the tokens
    and is theirs who have it computed.
    """
    return (tokens_cost - first_cost) * own / tokens


def decode_constant(tokens_cost: Number, batch: Number, a: Number, beta: Number, head: Number) -> Number:
    """What of a step without chunks does not change while its batch stays the same: D(b) + h b + a + beta b.

    The rest is gamma K, so that equations 2 to 4 hold with this in the place of a + beta b.
    """
    return tokens_cost + head * batch + a + beta * batch
