"""Pieces of the compiled engine's exact KV caches: what blocks hold, and which of them are free.

A *piece* is some blocks with consecutive contents, all of one *group* (contents that differ in their last GROUP_BITS),
that as many requests use; or free blocks without content. Which block is which, nothing depends on. Free pieces are a
list, from the least recently freed to the last, and of each the last block is first. `table` finds a group's pieces:
open addressing, then a list in which of two pieces with the same content the one comes first that was filled first.
Functions of a single piece take the arrays that they need and not the state, which has too many to hand on.
"""

import numpy as np

from glbdes.base.compiled import helper
from glbdes.engine.fast.kv_state import GROUP_BITS
from glbdes.engine.fast.state import *  # noqa: F403

HASHED_BITS, SPREAD_BITS = 30, 12
HASHED = (1 << HASHED_BITS) - 1
FACTOR = 0x9E3779B1  # 32 bits of the golden ratio: products of HASHED bits with it fit into 63
IN_GROUP = np.int64((1 << GROUP_BITS) - 1)


# Contents


@helper
def place_of(content, mask):
    """Where the search for the group of a content begins."""
    group = content >> GROUP_BITS
    return ((((group ^ (group >> HASHED_BITS)) & HASHED) * FACTOR) >> SPREAD_BITS) & mask


@helper
def group_at(piece, table, at, mask, content):
    """The place of the group of that content: there is its first piece, or nothing."""
    i = place_of(content, mask)
    while table[at + i] != NONE and (piece[table[at + i], LOW] ^ content) >> GROUP_BITS != 0:
        i = (i + 1) & mask
    return at + i


@helper
def piece_with(piece, piece32, table, at, mask, content):
    """(piece, end): of blocks with contents `content` .. end - 1, the ones filled first are all in that piece.

    (NONE, content) if there is no block with that content.
    """
    p, end = np.int64(table[group_at(piece, table, at, mask, content)]), content + IN_GROUP + 1
    while p != NONE:
        low = piece[p, LOW]
        if low > content:
            end = min(end, low)
        elif content < low + piece32[p, SIZE]:
            return p, min(end, low + piece32[p, SIZE])
        p = np.int64(piece32[p, BEHIND])
    return p, content


@helper
def can_grow(piece, piece32, p, low, end):
    """Whether blocks with contents `low` .. end - 1 that are filled now may belong to piece p, in their request's use.

    They are next to its own and of its group, nobody else uses it, and no piece behind it has one of them.
    """
    if piece[p, LOW] + piece32[p, SIZE] != low or low & IN_GROUP == 0 or piece32[p, USERS] != 1:
        return False
    other = piece32[p, BEHIND]
    while other != NONE:
        if piece[other, LOW] < end and piece[other, LOW] + piece32[other, SIZE] > low:
            return False
        other = piece32[other, BEHIND]
    return True


@helper
def fill(kv, k, piece, piece32, table, low, size):
    """A new piece: so many blocks of one group, in one request's use, have their contents from now on."""
    p = new_piece(kv, k, piece, piece32, low, size, 1)
    i = group_at(piece, table, kv[k, TABLE_AT], kv[k, MASK], low)
    last = np.int64(table[i])
    if last == NONE:
        table[i] = p
        return p
    while piece32[last, BEHIND] != NONE:
        last = np.int64(piece32[last, BEHIND])
    piece32[last, BEHIND] = p
    return p


@helper
def forget(kv, k, piece, piece32, table, p):
    """The contents of piece p are lost."""
    at, mask = kv[k, TABLE_AT], kv[k, MASK]
    i = group_at(piece, table, at, mask, piece[p, LOW])
    first = np.int64(table[i])
    if first != p:
        while piece32[first, BEHIND] != p:
            first = np.int64(piece32[first, BEHIND])
        piece32[first, BEHIND] = piece32[p, BEHIND]
    elif piece32[p, BEHIND] != NONE:
        table[i] = piece32[p, BEHIND]
    else:
        close_gap(piece, table, at, mask, i - at)


@helper
def close_gap(piece, table, at, mask, gap):
    """The place `gap` is empty from now on: whoever was looked for across it moves up."""
    i = gap
    while True:
        i = (i + 1) & mask
        p = table[at + i]
        if p == NONE:
            break
        if (i - place_of(piece[p, LOW], mask)) & mask >= (i - gap) & mask:
            table[at + gap] = p
            gap = i
    table[at + gap] = NONE


# Rows of `piece`


@helper
def new_piece(kv, k, piece, piece32, low, size, users):
    """A row of `piece` that stands nowhere yet."""
    p = kv[k, SPARE]
    if p != NONE:
        kv[k, SPARE] = piece32[p, AFTER]
    else:
        p = kv[k, UNTOUCHED]
        kv[k, UNTOUCHED] = p + 1
    piece[p, LOW], piece32[p, SIZE], piece32[p, USERS], piece32[p, BEHIND] = low, size, users, NONE
    return p


@helper
def split(kv, k, piece, piece32, p, content):
    """Piece p ends before `content`, one of its own. Returns the piece of its other blocks."""
    kept = content - piece[p, LOW]
    rest = new_piece(kv, k, piece, piece32, content, piece32[p, SIZE] - kept, piece32[p, USERS])
    piece32[p, SIZE] = kept
    piece32[rest, BEHIND], piece32[p, BEHIND] = piece32[p, BEHIND], rest
    if piece32[p, USERS] == 0:
        left = np.int64(piece32[p, BEFORE])
        piece32[rest, BEFORE], piece32[rest, AFTER], piece32[p, BEFORE] = left, p, rest
        if left == NONE:
            kv[k, KV_HEAD] = rest
        else:
            piece32[left, AFTER] = rest
    return rest


# Free pieces


@helper
def append(kv, k, piece32, p):
    """Piece p, which nobody uses any more, is the last one to be lost."""
    tail = kv[k, KV_TAIL]
    piece32[p, BEFORE], piece32[p, AFTER] = tail, NONE
    if tail == NONE:
        kv[k, KV_HEAD] = p
    else:
        piece32[tail, AFTER] = p
    kv[k, KV_TAIL] = p


@helper
def append_empty(kv, k, piece, piece32, size):
    """The same of so many blocks that hold nothing."""
    tail = kv[k, KV_TAIL]
    if tail != NONE and piece[tail, LOW] == EMPTY:
        piece32[tail, SIZE] += size
    else:
        append(kv, k, piece32, new_piece(kv, k, piece, piece32, EMPTY, size, 0))


@helper
def remove(kv, k, piece32, p):
    """Piece p is not free any more."""
    left, right = np.int64(piece32[p, BEFORE]), np.int64(piece32[p, AFTER])
    if left == NONE:
        kv[k, KV_HEAD] = right
    else:
        piece32[left, AFTER] = right
    if right == NONE:
        kv[k, KV_TAIL] = left
    else:
        piece32[right, BEFORE] = left


@helper
def pop(kv, k, piece, piece32, table, count):
    """So many free blocks are in use, those that were left longest ago; what they held is lost."""
    while count > 0:
        p = kv[k, KV_HEAD]
        size = np.int64(piece32[p, SIZE])
        if size > count:
            piece32[p, SIZE] = size - count
            return
        count -= size
        if piece[p, LOW] != EMPTY:
            forget(kv, k, piece, piece32, table, p)
        remove(kv, k, piece32, p)
        piece32[p, AFTER] = kv[k, SPARE]
        kv[k, SPARE] = p
