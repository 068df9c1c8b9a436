"""Where compiled kernels are kept between processes: a file a kernel, signature and processor, with a digest.

numba keeps its own in pickles that it believes: a damaged one is a traceback or a crash, and so is a full disk. Here a
file that is not what was written counts as none, and one that cannot be written is done without: compiled again.
"""

import contextlib
import hashlib
import os
import pickle
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from uuid import uuid4

from numba.core import compiler, serialize, types

CompileResult: Any = compiler.CompileResult  # numba has no type hints
dumps: Any = serialize.dumps

DIGEST_BYTES = hashlib.sha256().digest_size
PLAIN = "plain"  # of kernels for states without any of the fields that are not always there
MARKS = ("crep", "mine", "sessions", "alike", "homes")  # one field of each kind of those


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
    tuples = [argument for argument in signature if hasattr(argument, "fields")]
    there = {name for one in tuples for name, field in zip(one.fields, one.types, strict=True) if there_is(field)}
    return kind_of(there)


def there_is(field: Any) -> bool:
    return not isinstance(field, types.NoneType)


def kind_of(fields: Collection[str]) -> str:
    """The kind of kernels for states that have `fields`, and those that all have."""
    return "+".join(name for name in MARKS if name in fields) or PLAIN
