"""How kernels are compiled: without the interpreter's lock or reference counts, and once per version of the sources.

numba's own cache looks at the file of a function and not at what it calls, so an edit elsewhere would leave stale code
in use. Here the cache folder's name is a hash of all sources that kernels are made of, and of the versions of Python,
numba and NumPy.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from glbdes.base.cache import PLAIN, KernelCache

# `_nrt=False`: counting references to arrays costs more than the model itself. Kernels own no array, so need none.
KERNEL: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
HELPER: dict[str, Any] = {**KERNEL, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def sources() -> list[Path]:
    """The files that kernels are made of."""
    package = Path(__file__).resolve().parents[1]
    return [
        package / "hardware/physics.py",
        package / "hardware/steps.py",
        package / "units.py",
        package / "base/compiled.py",
        package / "base/portable.py",
        package / "optimum/hitchcock.py",
        package / "records/tally.py",
        *sorted(package.glob("engine/fast/*.py")),
    ]


def cache_folder() -> Path:
    """Where this version of the kernels is kept: under $GLBDES_CACHE_DIR, or the user's cache folder."""
    digest = hashlib.sha256(f"{sys.version} {numba.__version__} {np.__version__}".encode())
    for source in sources():
        digest.update(source.read_bytes())
    base = os.environ.get("GLBDES_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(base) / "glbdes" / digest.hexdigest()[:16]


def kernel(function: Callable[..., Any]) -> Any:
    """`function`, to be called by the driver: compiled when it is first called, and kept for later processes."""
    made = numba.njit(**KERNEL)(function)
    if hasattr(made, "_cache"):  # not where the interpreter runs kernels
        made._cache = KernelCache(function, cache_folder())
    return made


def helper(function: Callable[..., Any]) -> Any:
    """`function`, to be called by kernels only, and compiled into them."""
    return numba.njit(**HELPER)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """As `helper`, and never called: a call hands over some hundred numbers that describe the state's arrays."""
    return numba.njit(**HELPER, forceinline=True)(function)


def either(field: str, there: Any, absent: Any, inline: bool = False) -> Any:
    """A function of a state (a named tuple) and more: `there` where the state has `field`, `absent` where that is None.

    Which it is, is decided by the type of the state when a kernel is compiled, so that the other one is not. `inline`:
    as `inlined`.
    """

    def chosen(st: Any, *more: Any) -> Any:
        return (absent if getattr(st, field) is None else there)(st, *more)

    options: Any = {**KERNEL, "forceinline": inline}

    @overload(chosen, jit_options=options)
    def by_type(st: Any, *more: Any) -> Any:
        kind = st.types[st.fields.index(field)]
        picked = absent if isinstance(kind, types.NoneType) else there

        def compiled(st: Any, *more: Any) -> Any:
            return picked(st, *more)

        return compiled

    return chosen


def _prefetch(_context: Any, array: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of `array[row, column]`, numbers of 8 bytes. It changes nothing but the time."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        base = builder.ptrtoint(view.data, cgutils.intp_t)
        stride = builder.extract_value(view.strides, 0)
        inner = builder.mul(arguments[2], ir.Constant(cgutils.intp_t, 8))
        address = builder.add(builder.add(base, builder.mul(arguments[1], stride)), inner)
        address = builder.inttoptr(address, cgutils.voidptr_t)
        number = ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch",
            (cgutils.voidptr_t,),
            ir.FunctionType(ir.VoidType(), (cgutils.voidptr_t, number, number, number)),
        )
        builder.call(hint, (address, number(0), number(3), number(1)))
        return context.get_dummy_value()

    return types.void(array, row, types.intp), generate


def _no_prefetch(_array: Any, _row: Any, _column: Any) -> None:
    """Where the interpreter runs kernels."""


_config: Any = numba.config
prefetch: Any = _no_prefetch if _config.DISABLE_JIT else intrinsic(_prefetch)


def is_compiled(name: str, kind: str = PLAIN) -> bool:
    """Whether this version of the kernel `name` has been compiled on this machine before, for states of `kind`."""
    return any(cache_folder().glob(f"*.{name}.{kind}.*.nbc"))
