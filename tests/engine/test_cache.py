"""Compiled kernels that were damaged on disk, or cannot be kept there, are compiled again and compute the same."""

import random
from pathlib import Path

import numpy as np
import pytest

from glbdes.base import compiled


def double(values):
    for i in range(len(values)):
        values[i] *= 2.0
    return values


def made(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[float]:
    """What the kernel computes that a new process would make of `double`."""
    monkeypatch.setattr(compiled, "cache_folder", lambda: folder)
    return list(compiled.kernel(double)(np.array([1.0, 2.5])))


def test_a_kernel_is_kept_and_taken_from_where_it_is_kept(tmp_path, monkeypatch):
    assert made(monkeypatch, tmp_path) == [2.0, 5.0]
    (kept,) = tmp_path.iterdir()
    before = kept.stat().st_mtime_ns
    assert made(monkeypatch, tmp_path) == [2.0, 5.0]
    assert kept.stat().st_mtime_ns == before
    assert compiled.is_compiled("double")
    assert not compiled.is_compiled("treble")


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign"])
def test_a_damaged_kernel_is_thrown_away_and_made_anew(tmp_path, monkeypatch, damage):
    made(monkeypatch, tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    flipped = bytearray(whole)
    flipped[random.Random(1).randrange(len(whole))] ^= 1
    kept.write_bytes({"empty": b"", "cut": whole[:-100], "flipped": bytes(flipped), "foreign": b"x" * 500}[damage])
    assert made(monkeypatch, tmp_path) == [2.0, 5.0]
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    anew = kept.read_bytes()  # as long as before but for the digits of the compiler's own counters
    assert made(monkeypatch, tmp_path) == [2.0, 5.0]
    assert kept.read_bytes() == anew != bytes(flipped)


def test_without_a_place_to_keep_it_a_kernel_is_compiled_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert made(monkeypatch, tmp_path / "file" / "folder") == [2.0, 5.0]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
