"""Where compiled kernels are kept between processes: a file a kernel, signature and processor, with a digest.

numba keeps its own in pickles that it believes: a damaged one is a traceback or a crash, and so is a full disk. Here a
file that is not what was written counts as none, and one that cannot be written is done without: compiled again.
"""

import contextlib
import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from numba.core import compiler, serialize, types

CompileResult: Any = compiler.CompileResult  # numba has no type hints
dumps: Any = serialize.dumps

DIGEST_BYTES = hashlib.sha256().digest_size
ALL, SOME = "all", "some"  # of a state's fields are there


class KernelCache:
    """What numba asks of a dispatcher's cache, for one kernel, in `folder`."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self.function = function
        self.folder = folder
        self.cache_path = str(folder)

    def flush(self) -> None:
        """Remove what is kept of this kernel."""
        for path in self.folder.glob(f"{self._stem}.*.nbc"):
            path.unlink(missing_ok=True)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The kernel as compiled before for `signature` and this processor; None if there is none that is whole."""
        context.refresh()
        path = self._path(signature, context.codegen())
        try:
            kept = path.read_bytes()
            if hashlib.sha256(kept[DIGEST_BYTES:]).digest() != kept[:DIGEST_BYTES]:
                raise ValueError("damaged")
            return CompileResult._rebuild(context, *pickle.loads(kept[DIGEST_BYTES:]))
        except FileNotFoundError:
            return None
        except Exception:  # whatever a damaged or foreign pickle comes to: it is made anew
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep `compiled`, whole or not at all. No room is no error."""
        path = self._path(signature, compiled.codegen)
        half = path.with_name(f"{path.name}.{uuid4().hex[:8]}")
        content = dumps(compiled._reduce())
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            half.write_bytes(hashlib.sha256(content).digest() + content)
            os.replace(half, path)
        except OSError:
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)

    @property
    def _stem(self) -> str:
        return f"{self.function.__module__.rpartition('.')[2]}.{self.function.__name__}"

    def _path(self, signature: Any, codegen: Any) -> Path:
        key = repr((signature, codegen.magic_tuple())).encode()
        return self.folder / f"{self._stem}.{kind(signature)}.{hashlib.sha256(key).hexdigest()[:16]}.nbc"


def kind(signature: Any) -> str:
    """Of the kernels that one function becomes: for states (named tuples) with all their fields, or with some None."""
    fields = (field for argument in signature for field in getattr(argument, "types", ()))
    return SOME if any(isinstance(field, types.NoneType) for field in fields) else ALL
