"""What a schema's complaints mean to the person who wrote the file: place, value with unit, rule, nearest known key.

regions.texas.pue = 0.9, must be >= 1
regions.texas.replica: unknown key; did you mean 'replicas'?
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from glbdes.errors import MOST_PROBLEMS, MOST_SHOWN, brief, nearest

# Rule by kind of complaint, filled in from the complaint's context. Kinds that are not here keep pydantic's words.
RULES: Mapping[str, str] = {
    "greater_than": "must be > {gt:g}",
    "greater_than_equal": "must be >= {ge:g}",
    "less_than": "must be < {lt:g}",
    "less_than_equal": "must be <= {le:g}",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be a string, in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "literal_error": "must be {expected}",
    "too_short": "must have at least {min_length} entry",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "int_parsing_size": "must be a whole number of at most 12 digits",
    "string_pattern_mismatch": "must be lower-case letters, digits and _, and begin with a letter",
    "datetime_type": "must be a date and time such as 2022-09-22T00:00:00",
    "datetime_parsing": "must be a date and time such as 2022-09-22T00:00:00",
    "datetime_from_date_parsing": "must be a date and time such as 2022-09-22T00:00:00",
}

# Unit by suffix of the key, longest first.
UNITS: Mapping[str, str] = {
    "_usd_per_kwh": "USD/kWh",
    "_g_per_kwh": "g/kWh",
    "_l_per_kwh": "L/kWh",
    "_usd_per_t": "USD/t",
    "_usd_per_m3": "USD/m3",
    "_per_s": "1/s",
    "_s_per_slot": "s",
    "_tokens": "tokens",
    "_deg": "deg",
    "_ns": "ns",
    "_s": "s",
    "_h": "h",
    "_w": "W",
    "_j": "J",
}


def refuse(problems: Sequence[str]) -> None:
    """Raise all `problems` of a model that is being validated at once, if there are any; `complaints` tells them."""
    if problems:
        raise PydanticCustomError("rules", "{text}", {"text": "; ".join(problems), "problems": list(problems)})


def complaints(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """One line for each complaint of `error`, raised by `root`, as far as they are told."""
    lines = (line for detail in error.errors(include_url=False) for line in _lines(detail, root))
    return list(islice(lines, MOST_PROBLEMS + 1))


def shown(key: str, value: Any) -> str:
    """`value` as the user would write it, with the unit that its key's suffix names."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        text = f"{value:g}" if isinstance(value, float) else brief(value)
        unit = next((unit for suffix, unit in UNITS.items() if key.endswith(suffix)), "")
        return f"{text} {unit}".rstrip()
    return f"'{brief(value)}'" if isinstance(value, str) else brief(value)


def _lines(detail: ErrorDetails, root: type[BaseModel]) -> Iterator[str]:
    kind, loc, context = detail["type"], detail["loc"], detail.get("ctx") or {}
    if "problems" in context:  # rules between values, all in one complaint
        yield from context["problems"]
        return
    place, key = brief(".".join(str(part) for part in loc if part != "[key]")), str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        yield f"{place}: unknown key{nearest(key, _keys_at(root, loc[:-1]))}"
    elif kind == "missing":
        yield f"{place}: missing, must be given"
    elif key == "[key]":
        yield f"{place}: this name {RULES.get(kind, detail['msg']).format(**context)}"
    else:
        rule = RULES.get(kind, detail["msg"].replace("Input should be", "must be")).format(**context)
        hint = (
            nearest(brief(detail["input"], MOST_SHOWN + 1), _choices(str(context.get("expected", ""))))
            if context
            else ""
        )
        yield f"{place} = {shown(key, detail['input'])}, {rule}{hint}"


def _choices(expected: str) -> list[str]:
    """Names in pydantic's "'a', 'b' or 'c'"."""
    return expected.split("'")[1::2]


def _keys_at(model: Any, loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the table at `loc` knows, found by walking the models from the root."""
    for part in loc:
        model = _inner(model, part)
    model = _bare(model)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _inner(annotation: Any, part: int | str) -> Any:
    annotation = _bare(annotation)
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and part in annotation.model_fields:
        return annotation.model_fields[str(part)].annotation
    return None


def _bare(annotation: Any) -> Any:
    """The annotation without `Annotated` and `| None`."""
    while True:
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
        elif get_origin(annotation) in (Union, UnionType):
            annotation = next(arm for arm in get_args(annotation) if arm is not type(None))
        else:
            return annotation
