"""Stamps of other people's files as UTC: which rule they follow is said by the file or by the user, never guessed."""

import re
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glbdes.base import tables, zones
from glbdes.errors import SignalError, brief, nearest
from glbdes.signals.sources.download import Download, row

Stamps = NDArray[np.datetime64]
Ints = NDArray[np.int64]

_OFFSET: Final = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
_CONSTANT: Final = re.compile(r"^(?:UTC)?([+-])(\d\d):?(\d\d)$")


@dataclass(frozen=True)
class Times:
    """Naive UTC stamps of a file's rows, and the rule by which they became that, in words."""

    utc: Stamps
    rule: str


def zone(name: str) -> tzinfo:
    """The zone called "UTC", "+10:00" or "Europe/Berlin". Raises `SignalError` for any other name."""
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if constant := _CONSTANT.match(name):
        sign, hours, minutes = constant.groups()
        ahead = timedelta(hours=int(hours), minutes=int(minutes))
        if ahead <= timedelta(hours=14) and int(minutes) < 60:
            return timezone(ahead if sign == "+" else -ahead)
    if name in zones.names():
        return zones.zone(name)
    rule = "must be UTC, an offset like +10:00, or a name like Europe/Berlin"
    raise SignalError(f"--tz = '{brief(name)}', {rule}{nearest(name, zones.names())}")


def utc(column: "pd.Series[Any]", download: Download, tz: str | None, form: str | None = None) -> Times:
    """The stamps in `column`: those with an offset are converted, others are of the zone `tz`.

    `form` is their form where it is not ISO 8601. An hour that a zone's clock shows twice is the earlier one where it
    stands for the first time.

    Raises
    ------
    SignalError
        Stamps that are none; some with an offset and some without; without one and no `tz`; a time that the clock of
        `tz` never shows.
    """
    text = column.astype("string").str.strip()
    ends = text.str.slice(-6)  # few, where stamps are many
    offset = ends.isin([end for end in ends.dropna().unique() if _OFFSET.search(end)]).to_numpy(dtype=bool)
    if offset.any() and not offset.all():
        other = pd.Series(offset != offset[0], index=column.index)
        told = f"{column.name} = {brief(text[other].iloc[0])}: some stamps have an offset from UTC and some have none"
        raise SignalError(f"{download.path}, row {row(other)}: {told}, must be all alike")
    times = _parsed(text, form)
    if (none := times.isna()).any():
        rule = f"must be a time, from {tables.FIRST.year} to {tables.LAST.year - 1}"
        told = f"{column.name} = {brief(column[none].iloc[0])}, {rule}"
        raise SignalError(f"{download.path}, row {row(none)}: {told}")
    naive = times.dt.tz_localize(None)
    if offset.all():
        return Times(naive.to_numpy(dtype="datetime64[ns]"), "stamps carry their offset from UTC")
    if tz is None:
        told = f"{column.name} = {brief(text.iloc[0])} has no offset from UTC, and the file does not say which it is"
        raise SignalError(
            f"{download.path}, row {column.index[0] + 1}: {told}; say --tz UTC, --tz +10:00 or --tz Europe/Berlin"
        )
    return _local(naive, tz, download, str(column.name))


def local_hours(column: "pd.Series[Any]", utc_ns: Ints, tz: str | None, local: str | None) -> Ints | None:
    """int[n]: the hour of the local clock at each of `utc_ns`; None where it is not known.

    By the zone `local` if that is given, else by `tz` or by offsets of the stamps in `column`, if they are no UTC.
    """
    place = zone(local) if local else zone(tz) if tz else UTC
    times = pd.Series(pd.to_datetime(utc_ns, utc=True))
    if local or place is not UTC:
        return np.asarray(times.dt.tz_convert(place).dt.hour, dtype=np.int64)
    written = tables.stamps(column.astype("string").str.strip().str.replace(_OFFSET, "", regex=True))
    if written.isna().any() or (written.to_numpy() == times.to_numpy()).all():
        return None
    return np.asarray(written.dt.hour, dtype=np.int64)


def _parsed(text: "pd.Series[Any]", form: str | None) -> "pd.Series[pd.Timestamp]":
    if form is None:
        return tables.stamps(text)
    times = pd.to_datetime(text, format=form, errors="coerce", utc=True)
    return times.where((times >= tables.FIRST) & (times < tables.LAST)).dt.as_unit("ns")


def _local(naive: "pd.Series[pd.Timestamp]", tz: str, download: Download, name: str) -> Times:
    """Stamps of the clocks in the zone `tz`."""
    local = zone(tz)
    first = naive.dt.tz_localize(local, ambiguous=np.ones(len(naive), dtype=bool), nonexistent="NaT")
    if (none := first.isna()).any():
        told = f"{name} = {naive[none].iloc[0]} is an hour that clocks in {tz} leave out when summer time begins"
        remedy = "the stamps are of another zone or of a constant offset: say --tz UTC or --tz +01:00"
        raise SignalError(f"{download.path}, row {row(none)}: {told}; {remedy}")
    second = naive.dt.tz_localize(local, ambiguous=np.zeros(len(naive), dtype=bool), nonexistent="NaT")
    later = (first.dt.tz_convert("UTC") != second.dt.tz_convert("UTC")) & naive.duplicated()
    times = first.where(~later, second).dt.tz_convert("UTC").dt.tz_localize(None)
    rule = f"stamps are of clocks in {tz}, an hour that is shown twice in the order of rows"
    return Times(times.to_numpy(dtype="datetime64[ns]"), rule)
