"""Make glbdes/present/assets/coast.json: the land of the world in tenths of a degree, small enough for every page.

    npm pack world-atlas && tar xzf world-atlas-*.tgz
    python docs/scripts/make_coast.py package/land-110m.json

Source: Natural Earth, land at 1:110 million (public domain), as TopoJSON by world-atlas. Antarctica is left out, and so
are islands too small to be seen.
"""

import json
import sys
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parents[2] / "glbdes" / "present" / "assets" / "coast.json"
SOUTH_DEG = -60.0  # land that lies south of it is left out
LEAST_DEG2 = 1.5  # area of a box around an island, for it to be kept


def main() -> None:
    topology = json.loads(Path(sys.argv[1]).read_text())
    rings = [
        [joined(ring, arcs(topology)) for ring in polygon]
        for geometry in topology["objects"]["land"]["geometries"]
        for polygon in ([geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"])
    ]
    kept = [polygon for polygon in rings if worth(polygon[0])]
    OUT.write_text(json.dumps({"type": "MultiPolygon", "coordinates": kept}, separators=(",", ":")) + "\n")
    print(f"{OUT}: {len(kept)} polygons, {OUT.stat().st_size} B")


def arcs(topology: Any) -> list[list[tuple[float, float]]]:
    """Arcs [n][points] in degrees; those of a TopoJSON file are differences of whole numbers."""
    (width, height), (west, south) = topology["transform"]["scale"], topology["transform"]["translate"]
    found = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * width + west, y * height + south))
        found.append(points)
    return found


def joined(ring: list[int], known: list[list[tuple[float, float]]]) -> list[list[float]]:
    """One ring of its arcs, of which negative numbers are read backwards; a point is written once."""
    points: list[list[float]] = []
    for number in ring:
        for x, y in known[number] if number >= 0 else reversed(known[~number]):
            point = [round(x, 1), round(y, 1)]
            if not points or points[-1] != point:
                points.append(point)
    return points


def worth(ring: list[list[float]]) -> bool:
    xs, ys = zip(*ring, strict=True)
    return max(ys) > SOUTH_DEG and (max(xs) - min(xs)) * (max(ys) - min(ys)) >= LEAST_DEG2 and len(ring) >= 4


if __name__ == "__main__":
    main()
