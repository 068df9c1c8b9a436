"""Profiles as TOML files, as `profile.load` reads them: numbers to six digits, every table with what it is."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

from glbdes.hardware.measurements import Residual
from glbdes.hardware.profile import Profile


def to_toml(profile: Profile, residuals: Sequence[Residual], made_by: str, kv_source: str) -> str:
    """`profile` as a TOML file, numbers to six digits; `made_by`, `kv_source` and the residuals stand on top."""
    document = profile.model_dump(exclude_none=True)
    tables = _tables(document)
    width = max((len(residual.what) for residual in residuals), default=0)
    lines = [
        f"# {profile.model} on one {profile.gpu}. Made by: {made_by}",
        "# Errors of the fit, mean and worst:",
        *(f"#   {r.what:{width}}  {r.mean:7.2%} {r.worst:7.2%}  ({r.points} points)" for r in residuals),
        "# host_w was not measured; a scenario says what the server around the GPU draws.",
        *textwrap.wrap(f"kv_tokens: {kv_source}.", width=118, initial_indent="# ", subsequent_indent="#   "),
        "",
    ]
    lines += [f"{key} = {_toml(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for key, table in tables.items():
        about = textwrap.wrap(ABOUT.get(key, ""), width=118, initial_indent="# ", subsequent_indent="# ")
        lines += ["", *about, f"[{key}]", *(f"{inner} = {_toml(value)}" for inner, value in table.items())]
    return "\n".join(lines) + "\n"


# What the tables of a profile are, for the reader of the file.
ABOUT: Final = {
    "iteration": "A decode iteration of b requests with K context tokens, on the bare device: a + beta*b + gamma*K "
    "seconds, e0 + e1*b + e2*K joules.",
    "prefill": "A prompt by its length, on the bare device, prompts back to back. Linear between these lengths, "
    "padded; beyond the last one, unpadded, by what a token and a squared token add (beyond_s).",
    "serving": "What serving adds: host seconds per iteration and per active request in it; time of a served prompt "
    "over a bare one at each of prefill.tokens, and of one that begins where another ended over one that does not; "
    "energy of served work over bare work.",
    "chunked": "A step of a server that schedules in chunks: p prompt tokens in chunks of c behind k computed before, "
    "b decoding requests with K context tokens. It takes D(p + b) + head (b + chunks) + a + beta*b + gamma*K + delta "
    "sum(c*k) + eps sum(c^2), with a, beta, gamma of decode without chunks and of mixed with them; D is a table. In "
    "time comes the host on top: host_s, and host_request_s for every chunk and decoding request.",
}


def _tables(document: Mapping[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """The tables of a document by their full names, each without those within it."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found[prefix + key] = {inner: held for inner, held in value.items() if not isinstance(held, dict)}
            found |= _tables(value, f"{prefix}{key}.")
    return found


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(float(f"{value:.6g}")) if isinstance(value, float) else str(value)
