"""The same on every processor: signals, requests and runs of every policy, down to the byte.

NumPy, BLAS, LAPACK and the C library choose their kernels by the processor that they find, and these differ in their
last bits. Environment variables tell them to find another one, so each setting is a process of its own.
"""

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glbdes import resources
from tests.fingerprints import digest

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="the kernels that can be chosen are those of x86-64"
)

ROOT = Path(__file__).resolve().parents[1]
# Whatever is beyond SSE4.2, by the names that NumPy has had for it; it takes no notice of those that it does not know.
PLAIN_NUMPY = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR "
    "AVX F16C FMA3 AVX2 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL"
}
PLAIN_LIBM = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable"}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "as it is": {"OPENBLAS_NUM_THREADS": "2"},
    "of 2004": {"OPENBLAS_CORETYPE": "Prescott", **PLAIN_NUMPY, **PLAIN_LIBM},
    "of 2008": {"OPENBLAS_CORETYPE": "Nehalem", **PLAIN_NUMPY},
    "of 2011": {"OPENBLAS_CORETYPE": "Sandybridge", **PLAIN_LIBM},
    "of 2017": {"OPENBLAS_CORETYPE": "SkylakeX", **PLAIN_NUMPY},
}
CHOSEN = {key for setting in SETTINGS.values() for key in setting}
COMPILED: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "any": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "of 2008": {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "", "NUMBA_ENABLE_AVX": "0"},
    "of 2013": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
}


def fingerprints(folder: Path, setting: Mapping[str, str], *part: str) -> dict[str, str] | None:
    """What `tests.fingerprints` finds in a process under `setting`; None if this processor lacks its instructions."""
    ours = {key: value for key, value in os.environ.items() if key not in CHOSEN}
    folder.mkdir()
    command = [sys.executable, "-m", "tests.fingerprints", str(folder), *part]
    environment = {"OPENBLAS_NUM_THREADS": "1", **ours, **setting}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    if done.returncode == -signal.SIGILL:
        return None
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def under(settings: Mapping[str, Mapping[str, str]], folder: Path, *part: str) -> dict[str, dict[str, str]]:
    """Fingerprints by setting, of those that this processor knows."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {name: pool.submit(fingerprints, folder / name, setting, *part) for name, setting in settings.items()}
    return {name: found for name, job in jobs.items() if (found := job.result()) is not None}


def assert_equal(found: Mapping[str, Mapping[str, str]]) -> None:
    for setting, prints in found.items():
        other = {name for name, value in found["as it is"].items() if prints[name] != value} - {"arithmetic"}
        assert not other, f"a processor {setting} comes to something else"


def test_every_processor_draws_solves_and_writes_the_same(tmp_path):
    found = under(SETTINGS, tmp_path)
    assert len(found) >= 4
    assert len({prints["arithmetic"] for prints in found.values()}) >= 4  # or else nothing is shown
    assert_equal(found)
    traces = {"signals 1": "llm10_signals.csv", "load 1": "llm10_load.csv"}
    for name, trace in traces.items():
        assert found["as it is"][name] == digest(resources.root("traces") / trace)


@pytest.mark.slow
def test_kernels_compiled_for_any_processor_come_to_the_same(tmp_path):
    caches = {name: {"GLBDES_CACHE_DIR": str(tmp_path / f"cache of {name}")} for name in COMPILED}
    assert_equal(under({name: {**caches[name], **setting} for name, setting in COMPILED.items()}, tmp_path, "fast"))
