"""What requests have in common: the contents of the KV blocks at their beginnings (docs/model.md, "Prefixes").

A full block stands for all tokens up to its last one. Its content is a whole number: two requests have the same number
at the same place if, and only if, they begin with the same tokens up to there. A *chain* has the contents of a
request's first blocks, as runs of consecutive numbers: where a conversation goes on, or leaves another one, a new run
begins. Blocks behind a chain are the request's own. Requests name their chain; copies of all chains, as of a trace that
is replayed again, are numbered on and have contents of their own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import InvariantError

Ints = NDArray[np.int64]

NONE = -1  # no chain, no session


class Prefixes(NamedTuple):
    """Chains of contents. c: chains; k: runs of all of them."""

    first: Ints  # [c + 1] where the runs of each chain begin
    begin: Ints  # [k] the block of the request with which the run begins; the first run of a chain begins with 0
    shift: Ints  # [k] the content of block i of the run is shift + i
    blocks: Ints  # [c] how many blocks have contents that others may have
    contents: int  # numbers are below this; those of copy j lie j times as much higher

    @property
    def chains(self) -> int:
        return len(self.blocks)

    def of(self, chain: int) -> Ints:
        """Contents [blocks] of the chain number `chain`; none for `NONE`."""
        if chain == NONE:
            return np.empty(0, dtype=np.int64)
        copy, row = divmod(chain, self.chains)
        runs = slice(int(self.first[row]), int(self.first[row + 1]))
        begins = np.append(self.begin[runs], self.blocks[row])
        lengths = np.diff(begins)
        return np.arange(begins[-1]) + np.repeat(self.shift[runs], lengths) + copy * self.contents


def of_contents(chains: list[Ints]) -> Prefixes:
    """Prefixes whose chains have these contents, numbers >= 0 that tell all tokens before them."""
    lengths = np.array([len(one) for one in chains], dtype=np.int64)
    joined = np.concatenate([*chains, np.empty(0, dtype=np.int64)])
    return _compressed(joined, lengths)


def of_trace(ids: Ints, lengths: Ints, prompt_tokens: Ints, id_tokens: int, block_tokens: int) -> Prefixes:
    """Prefixes of prompts whose parts of `id_tokens` tokens are named by `ids`, `lengths` [n] of them each, in a row.

    `block_tokens` divides `id_tokens`, and `lengths` are the prompts' tokens over `id_tokens`, rounded up. A part
    stands for what is before it, too: the same number behind others is another part.
    """
    ratio = id_tokens // block_tokens
    whole = _compressed(_nodes(ids, lengths), lengths)
    return Prefixes(
        first=whole.first,
        begin=whole.begin * ratio,
        shift=whole.shift * ratio,
        blocks=np.where(lengths > 0, prompt_tokens // block_tokens, 0),  # the last part need not be full
        contents=whole.contents * ratio,
    )


def _nodes(ids: Ints, lengths: Ints) -> Ints:
    """[k] a number for each id together with all before it in its row; new ones count up in the order of `ids`."""
    first = np.cumsum(lengths) - lengths
    nodes = np.full(len(ids), NONE, dtype=np.int64)
    above = np.full(len(lengths), NONE, dtype=np.int64)
    made = 0
    _, ids = np.unique(ids, return_inverse=True)
    different = int(ids.max(initial=0)) + 1
    for depth in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > depth)
        at = first[rows] + depth
        _, inverse = np.unique((above[rows] + 1) * different + ids[at], return_inverse=True)
        nodes[at] = made + inverse
        made += int(inverse.max()) + 1
        above[rows] = nodes[at]
    _, where, inverse = np.unique(nodes, return_index=True, return_inverse=True)
    rank = np.empty(len(where), dtype=np.int64)
    rank[np.argsort(where)] = np.arange(len(where))
    return np.asarray(rank[inverse], dtype=np.int64)


def _compressed(contents: Ints, blocks: Ints) -> Prefixes:
    """Chains [c] of so many `blocks` each, all in a row, as runs."""
    chains, ends = len(blocks), np.cumsum(blocks)
    index = np.arange(len(contents)) - np.repeat(ends - blocks, blocks)
    shift = contents - index
    begins = (index == 0) | (np.diff(shift, prepend=-1) != 0)
    runs = np.bincount(np.repeat(np.arange(chains), blocks)[begins], minlength=chains)
    first = np.concatenate([[0], np.cumsum(runs)])
    if not (contents >= 0).all():
        raise InvariantError("contents of blocks must be >= 0")
    number = int(contents.max(initial=-1)) + 1
    return Prefixes(first.astype(np.int64), index[begins], shift[begins], blocks.astype(np.int64), number)


def sessions_of(ids: Ints, lengths: Ints, common: float) -> Ints:
    """[n] the session of each prompt: that of its first part which fewer than a share of `common` of all prompts have.

    Prompts all of whose parts are common have none.
    """
    nodes = _nodes(ids, lengths)
    counts = np.bincount(nodes)  # a node stands once in a prompt
    rare = counts[nodes] < common * len(lengths)
    row = np.repeat(np.arange(len(lengths)), lengths)
    rows, at = np.unique(row[rare], return_index=True)
    session = np.full(len(lengths), NONE, dtype=np.int64)
    _, session[rows] = np.unique(nodes[rare][at], return_inverse=True)
    return session
