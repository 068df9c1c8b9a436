"""Where to write names beside points so that they do not lie on one another."""

from collections.abc import Sequence
from typing import NamedTuple

CHAR_PX = 6.2  # of a letter at 11 px
LINE_PX = 13.0
REACH = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))  # sides, the best first


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


def place(
    points: Sequence[tuple[float, float]], texts: Sequence[str], width: float, height: float, gap: float = 9.0
) -> list[tuple[float, float]]:
    """Centres (x, y) in pixels of each text near its point, within the panel if there is room.

    Greedy, from the top: of all sides and three distances, the place that covers least of what is there already.
    """
    taken = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    centres: dict[int, tuple[float, float]] = {}
    for i in sorted(range(len(points)), key=lambda i: points[i][1]):
        options = list(_options(points[i], texts[i], gap))
        costs = [_cost(_box(centre, texts[i]), taken, width, height) + rank / 50 for rank, centre in enumerate(options)]
        centres[i] = options[costs.index(min(costs))]
        taken.append(_box(centres[i], texts[i]))
    return [centres[i] for i in range(len(points))]


def _options(point: tuple[float, float], text: str, gap: float) -> list[tuple[float, float]]:
    half = len(text) * CHAR_PX / 2
    found = []
    for far in (1.0, 1.9, 3.0):
        for x, y in REACH:
            sideways = x * (half + gap * (far if not y else 0.4))
            found.append((point[0] + sideways, point[1] + y * (gap * far + LINE_PX / 4)))
    return found


def _box(centre: tuple[float, float], text: str) -> Box:
    half = len(text) * CHAR_PX / 2
    return Box(centre[0] - half, centre[1] - LINE_PX / 2, centre[0] + half, centre[1] + LINE_PX / 2)


def _cost(box: Box, taken: Sequence[Box], width: float, height: float) -> float:
    """Pixels of overlap, and of what is cut off, in letters."""
    over = sum(
        max(0.0, min(box.right, b.right) - max(box.left, b.left))
        * max(0.0, min(box.bottom, b.bottom) - max(box.top, b.top))
        for b in taken
    )
    out = max(0.0, -box.left) + max(0.0, box.right - width) + max(0.0, -box.top) + max(0.0, box.bottom - height)
    return (over + out * LINE_PX) / (CHAR_PX * LINE_PX)
