"""How kernels are compiled: without the interpreter's lock, without reference counts, and once per version of the sources.

numba's own cache looks at the file of a function and not at what it calls, so an edit elsewhere would leave stale code in
use. Here the cache folder's name is a hash of all sources that kernels are made of, and of numba's and NumPy's versions.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

SOURCES = ("../physics.py", "compiled.py", "fast_state.py", "fast_kernel.py", "fast_dispatch.py", "fast_loop.py")


def cache_folder() -> Path:
    """Where this version of the kernels is kept: under $GLBDES_CACHE_DIR, or the user's cache folder."""
    here = Path(__file__).parent
    digest = hashlib.sha256(f"{sys.version} {numba.__version__} {np.__version__}".encode())
    for source in SOURCES:
        digest.update((here / source).read_bytes())
    base = os.environ.get("GLBDES_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(base) / "glbdes" / digest.hexdigest()[:16]


def kernel(function: Callable[..., Any]) -> Any:
    """`function`, compiled when it is first called."""
    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy", _nrt=False)(function)
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]


def is_compiled() -> bool:
    """Whether this version has been compiled on this machine before."""
    return any(cache_folder().rglob("*.nbc"))
