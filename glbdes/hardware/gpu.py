"""Measurement files of a GPU (JSON) as `Measurements`: one file a device and model.

Top level: `gpu.name`, `model`, `idle_bare_w` (nothing loaded), `idle_loaded_w` (no work), `max_ctx` (tokens that a
request may have). Lists: `decode` (batch, context tokens *per request*, iter_s, energy_counter_w), `prefill` (tokens,
iter_s, energy_counter_w; one prompt at a time), and optionally `served`, by Poisson rate in requests/s: `requests`
(arrival, prompt, output, first, finish), `iterations` ([begin, end, "p", prompt tokens, requests decoding] or
[begin, end, "d", batch, sum of context tokens]), `energy_j` over `window_s`. Times in seconds, power in watts.

The largest measured batch is the profile's `max_batch`. The KV cache takes what `weight_bytes` leave of 0.9 of the
card's memory, at `kv_bytes_per_token`; of a card that is not in the table below, what the measurement itself had:
`max_batch` requests of `max_ctx` tokens.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from glbdes.base import reading
from glbdes.errors import ProfileError, brief, nearest
from glbdes.hardware.measurements import Decode, Floats, Ints, Measurements, Prompts, Served, Work
from glbdes.scenario.complaints import shown
from glbdes.scenario.sizes import LEAST, MOST
from glbdes.units import BYTES_PER_MIB


def read_gpu(path: Path) -> Measurements:
    """The measurements in `path`; the profile is named after the file.

    Raises `ProfileError` for a file that is missing or no JSON, and for a value that is missing, no number, or out of
    range, with its place in the file.
    """
    try:
        document = reading.json_document(reading.text(path, reading.MOST_JSON_BYTES))
    except reading.UnreadableError as error:
        raise ProfileError(f"{path}: {error}") from error
    top = _Table(document, str(path))
    decode = top.rows("decode")
    batch, each = decode.whole("batch"), decode.whole("context")
    prompts = top.rows("prefill")
    tokens = prompts.whole("tokens")
    order = np.argsort(tokens)
    time_s, power_w = prompts.positive("iter_s")[order], prompts.positive("energy_counter_w")[order]
    decode_s = decode.positive("iter_s")
    served = top.value("served", dict) if "served" in document else {}
    max_batch = int(batch.max())
    kv_tokens, kv_source = _kv_tokens(top, max_batch)
    return Measurements(
        name=path.stem,
        gpu=top.table("gpu").value("name", str),
        model=top.value("model", str),
        max_batch=max_batch,
        kv_tokens=kv_tokens,
        kv_source=kv_source,
        idle_w=top.number("idle_loaded_w"),
        bare_w=top.number("idle_bare_w"),
        decode=Decode(batch, batch * each, decode_s, decode_s * decode.positive("energy_counter_w")),
        prompts=Prompts(tokens[order], time_s, time_s * power_w),
        served={_rate(key, top): _served(top.table("served").table(key)) for key in served},
    )


# Memory as the cards themselves report it, MiB (nvidia-smi).
MEMORY_MIB: Final = {"NVIDIA H100 80GB HBM3": 81_559, "NVIDIA H200": 143_771}
USED: Final = 0.9  # of it, by the model and its KV cache: what vLLM takes (gpu_memory_utilization)


def _kv_tokens(top: "_Table", max_batch: int) -> tuple[int, str]:
    """Room of the KV cache, and where that comes from."""
    card = top.table("gpu").value("name", str)
    if card not in MEMORY_MIB or "weight_bytes" not in top.content:
        longest = int(top.number("max_ctx"))
        return max_batch * longest, f"as measured, {max_batch} requests of {longest:,} tokens"
    room = USED * MEMORY_MIB[card] * BYTES_PER_MIB - top.number("weight_bytes")
    each = top.number("kv_bytes_per_token")
    source = f"{USED:g} of {MEMORY_MIB[card]:,} MiB less the weights, at {each:,.0f} bytes a token"
    if room < each:
        raise ProfileError(f"{top.place}: weight_bytes = {top.number('weight_bytes'):g}, must leave room ({source})")
    return int(room // each), source


def _rate(key: str, top: "_Table") -> float:
    try:
        rate = float(key)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= MOST:
        raise ProfileError(f"{top.place}: served has the key '{brief(key)}', must be a rate in requests/s")
    return rate


def _served(run: "_Table") -> Served:
    requests = run.rows("requests")
    return Served(
        arrival_s=requests.column("arrival"),
        prompt_tokens=requests.whole("prompt"),
        output_tokens=requests.whole("output"),
        first_token_s=requests.column("first"),
        finish_s=requests.column("finish"),
        work=_work(run),
        energy_j=run.number("energy_j"),
        window_s=run.number("window_s"),
    )


def _is_time(value: Any) -> bool:
    """A JSON number of a size that can be reckoned with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST


def _is_count(value: Any) -> bool:
    return _is_time(value) and value >= 0 and value % 1 == 0


def _work(run: "_Table") -> Work:
    rows = run.value("iterations", list)
    if not rows:
        raise ProfileError(f"{run.place}: iterations is empty, must have a row")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 5 or row[2] not in ("p", "d") or not all(map(_is_count, row[3:])):
            shape = '[begin, end, "p" or "d", tokens or batch, batch or tokens]'
            raise ProfileError(f"{run.place}.iterations[{index}] = {brief(row)}, must be {shape}")
        if not all(map(_is_time, row[:2])) or row[1] < row[0]:
            raise ProfileError(f"{run.place}.iterations[{index}] = {brief(row)}, must begin and then end, in seconds")
    begin, end, kind, fourth, fifth = (np.array(column) for column in zip(*rows, strict=True))
    is_prompt = kind == "p"
    return Work(
        is_prompt=is_prompt,
        begin_s=begin.astype(np.float64),
        end_s=end.astype(np.float64),
        tokens=np.where(is_prompt, fourth, fifth).astype(np.int64),
        batch=np.where(is_prompt, fifth, fourth).astype(np.int64),
    )


class _Table:
    """A table of the file that knows its place in it, for messages."""

    def __init__(self, content: Any, place: str) -> None:
        if not isinstance(content, Mapping):
            raise ProfileError(f"{place}: is {_kind(content)}, must be a table")
        self.content, self.place = content, place

    def value(self, key: str, kind: Any) -> Any:
        if key not in self.content:
            raise ProfileError(f"{self.place}: has no '{key}'{nearest(key, map(str, self.content))}")
        found = self.content[key]
        if not isinstance(found, kind) or isinstance(found, bool):
            raise ProfileError(f"{self.place}: {key} = {shown(key, found)}, must be {_NAMES.get(kind, 'a number')}")
        return found

    def number(self, key: str) -> float:
        """A number above 0, of a size that can be reckoned with."""
        found = self.value(key, int | float)
        if not found > 0:
            raise ProfileError(f"{self.place}: {key} = {brief(found)}, must be > 0")
        if not LEAST <= found <= MOST:
            raise ProfileError(f"{self.place}: {key} = {brief(found)}, must be from {LEAST:g} to {MOST:g}")
        return float(found)

    def time(self, key: str) -> float:
        """A number of any sign, of a size that can be reckoned with."""
        found = self.value(key, int | float)
        if not _is_time(found):
            raise ProfileError(f"{self.place}: {key} = {brief(found)}, must be <= {MOST:g} in size")
        return float(found)

    def table(self, key: str) -> "_Table":
        return _Table(self.value(key, dict), f"{self.place}: {key}")

    def rows(self, key: str) -> "_Rows":
        return _Rows(self.value(key, list), f"{self.place}: {key}")


class _Rows:
    """A list of tables with the same keys, read by column."""

    def __init__(self, rows: Sequence[Any], place: str) -> None:
        if not rows:
            raise ProfileError(f"{place}: is empty, must have a row")
        self.rows = [_Table(row, f"{place}[{index}]") for index, row in enumerate(rows)]

    def column(self, key: str) -> Floats:
        return np.array([row.time(key) for row in self.rows])

    def positive(self, key: str) -> Floats:
        return np.array([row.number(key) for row in self.rows])

    def whole(self, key: str) -> Ints:
        """Counts: whole numbers, at least 1."""
        counts = self.positive(key)
        if (counts % 1 > 0).any():
            index = int(np.argmax(counts % 1 > 0))
            raise ProfileError(f"{self.rows[index].place}: {key} = {counts[index]:g}, must be a whole number")
        return counts.astype(np.int64)


_NAMES: dict[Any, str] = {str: "a string", dict: "a table", list: "a list"}


def _kind(content: Any) -> str:
    return _NAMES.get(type(content), type(content).__name__)
