"""Files as sources offer them, written by hand, and the real ones where they are."""

import gzip
from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[1] / "../shared/data/real"


def real(name: str) -> Path:
    """The real file called `name`; skips the test where it is not."""
    path = REAL / name
    if not path.is_file():
        pytest.skip(f"needs ../shared/data/real/{name}")
    return path


def written(path: Path, *lines: str) -> Path:
    """A file of these lines; packed if its name ends in .gz."""
    content = ("\n".join(lines) + "\n").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


OLD = (
    "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity gCO₂eq/kWh (LCA),"
    "Low Carbon Percentage,Renewable Percentage,Data Source,Data Estimated,Data Estimation Method"
)
NEW = (
    "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
    "Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%),Renewable energy percentage (RE%),"
    "Data source,Data estimated,Data estimation method"
)


def carbon_rows(zone: str, values: list[object], day: str = "2023-01-01", estimated: tuple[int, ...] = ()) -> list[str]:
    """Hours of Electricity Maps from midnight of `day` on; direct is half of the life cycle's."""
    rows = []
    for hour, value in enumerate(values):
        direct = value / 2 if isinstance(value, int | float) else value
        flag = "true,ESTIMATED_TIME_SLICER_AVERAGE" if hour in estimated else "false,"
        rows.append(f"{day} {hour:02d}:00:00,Land,Land,{zone},{direct},{value},50,40,grid.example,{flag}")
    return rows
