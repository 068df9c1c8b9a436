"""Views and outcomes as JSON and back, field by field, so that a new field needs no code here.

A dataclass or named tuple is an object of its fields; an array is nested lists, or `{"shape": [0, 10]}` where it has no
elements; infinity and NaN are the texts "inf", "-inf" and "nan". Floats are written so that they are read again to the
last bit. Within a session an array that begins with the rows that were sent last is `{"after": n, "rows": [...]}`: what
stays as it is costs nothing, and the past is sent once.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from glbdes.errors import PolicyError, brief, nearest

SPECIAL: Final = ("inf", "-inf", "nan")  # numbers that JSON has none for
WORDS: Final = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}

Arrays = dict[str, NDArray[Any]]  # what was sent last in a session, by place


def encode(value: Any, before: Arrays | None = None, place: str = "") -> Any:
    """`value` as what JSON can say. Rows that are in `before` are not said again, and it is brought up to date."""
    if isinstance(value, np.ndarray):
        return _array(value, before, place)
    if isinstance(value, np.generic):
        return encode(value.item())
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    kind: Any = type(value)
    names = _names(kind)
    if names is not None:
        return {name: encode(getattr(value, name), before, f"{place}.{name}") for name in names}
    if isinstance(value, Mapping):
        return {str(key): encode(one, before, f"{place}.{key}") for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [encode(one, before, f"{place}.{n}") for n, one in enumerate(value)]
    return value


def _array(array: NDArray[Any], before: Arrays | None, place: str) -> Any:
    known = None if before is None else before.get(place)
    if before is not None and array.ndim:
        before[place] = array
    if known is None or not _continues(known, array):
        return _rows(array)
    n = len(known)
    return {"after": n} if len(array) == n else {"after": n, "rows": _rows(array[n:])}


def _continues(known: NDArray[Any], array: NDArray[Any]) -> bool:
    """Whether `array` begins with `known`, to the last bit."""
    alike = known.dtype == array.dtype and known.shape[1:] == array.shape[1:] and len(known) <= len(array)
    return alike and array[: len(known)].tobytes() == known.tobytes()


def _rows(array: NDArray[Any]) -> Any:
    if not array.size:
        return {"shape": list(array.shape)}
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return encode(array.tolist())
    return array.tolist()


def decode(kind: Any, value: Any, before: Arrays | None = None, place: str = "view") -> Any:
    """What `encode` made of a `kind`, a type as annotations have it. Arrays are read-only.

    Raises `PolicyError` with the place of what is not of that kind: missing and unknown fields, numbers that are none.
    """
    arms = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    if arms:
        if value is None and NoneType in arms:
            return None
        kind = next(arm for arm in arms if arm is not NoneType)
    origin = get_origin(kind)
    if origin is np.ndarray:
        return _decoded_array(np.dtype(get_args(get_args(kind)[1])[0]), value, before, place)
    if isinstance(kind, type) and _names(kind) is not None:
        return _decoded_fields(kind, value, before, place)
    if origin is dict or origin is Mapping:
        inner = get_args(kind)[1]
        return {key: decode(inner, one, before, f"{place}.{key}") for key, one in _table(value, place).items()}
    if origin is tuple:
        inner = get_args(kind)[0]
        return tuple(decode(inner, one, before, f"{place}.{n}") for n, one in enumerate(_list(value, place)))
    return _scalar(kind, value, place)


def _decoded_fields(kind: type, value: Any, before: Arrays | None, place: str) -> Any:
    given, hints = _table(value, place), _hints(kind)
    names = _names(kind) or ()
    for name in given:
        if name not in names:
            raise PolicyError(f"{place}.{brief(name)}: unknown field{nearest(str(name), names)}")
    for name in names:
        if name not in given and name not in _optional(kind):
            raise PolicyError(f"{place}.{name}: missing, must be given")
    return kind(**{name: decode(hints[name], value, before, f"{place}.{name}") for name, value in given.items()})


def _decoded_array(dtype: np.dtype[Any], value: Any, before: Arrays | None, place: str) -> NDArray[Any]:
    if isinstance(value, Mapping) and "after" in value:
        known = None if before is None else before.get(place)
        if known is None or len(known) != value["after"]:
            have = "nothing" if known is None else f"{len(known)} rows"
            raise PolicyError(f"{place}: goes on after row {brief(value['after'])}, and here {have} came before")
        rows = value.get("rows")
        array = known if rows is None else np.concatenate((known, _made(dtype, rows, place)))
    else:
        array = _made(dtype, value, place)
    array.setflags(write=False)
    if before is not None and array.ndim:
        before[place] = array
    return array


def _made(dtype: np.dtype[Any], value: Any, place: str) -> NDArray[Any]:
    if isinstance(value, Mapping):
        shape = value.get("shape")
        if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**31 for n in shape) or 0 not in shape:
            raise PolicyError(f"{place}: shape {brief(shape)}, must be whole numbers, one of them 0")
        return np.empty(shape, dtype)
    try:
        array = np.asarray(value)
        if array.dtype.kind == "U" and dtype.kind == "f":
            array = np.asarray(_untold(value))
    except (TypeError, ValueError) as error:
        raise PolicyError(f"{place}: is no array of numbers: {brief(error)}") from error
    if array.dtype.kind == "U":
        raise PolicyError(f"{place}: holds text, must be numbers")
    if array.dtype.kind not in {"f": "fi", "i": "i", "b": "b"}[dtype.kind]:
        raise PolicyError(f"{place}: is an array of {array.dtype}, must be one of {dtype}")
    return array.astype(dtype)


def _untold(value: Any) -> Any:
    """Nested lists with infinity and NaN for the texts that say them."""
    if isinstance(value, list):
        return [_untold(one) for one in value]
    return float(value) if value in SPECIAL else value


def _scalar(kind: Any, value: Any, place: str) -> Any:
    if kind is float and value in SPECIAL:
        return float(value)
    wanted = {float: (int, float), int: (int,), bool: (bool,), str: (str,)}.get(kind)
    if wanted is None:  # of no kind that is known here: as it was sent
        return value
    if type(value) not in wanted:
        raise PolicyError(f"{place} = {brief(value)}, must be {WORDS[kind]}")
    return kind(value)


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PolicyError(f"{place}: is a {type(value).__name__}, must be an object")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise PolicyError(f"{place}: is a {type(value).__name__}, must be a list")
    return value


@cache
def _names(kind: Any) -> tuple[str, ...] | None:
    """The fields of a dataclass or a named tuple; None of anything else."""
    if isinstance(kind, type) and is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return getattr(kind, "_fields", None) if isinstance(kind, type) and issubclass(kind, tuple) else None


@cache
def _optional(kind: Any) -> frozenset[str]:
    """The fields that have a default, and may be left out."""
    if is_dataclass(kind):
        return frozenset(
            field.name for field in fields(kind) if field.default is not MISSING or field.default_factory is not MISSING
        )
    return frozenset(kind._field_defaults)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
