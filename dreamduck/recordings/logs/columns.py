"""The columns of a log: times, commands, frames."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.common.readers import read_text
from dreamduck.recordings.logs.drive_log import ACTIONS, WHEELS, FloatArray

LEFT = ("left", "left_duty", "duty_left", "vel_left", "left_wheel", "wheel_left")
NAMES = {
    "time": ("time", "timestamp", "t", "stamp", "seconds", "secs"),
    "left": LEFT,
    "right": tuple(name.replace("left", "right") for name in LEFT),
    "throttle": ("throttle",),
    "steering": ("steering",),
    "frame": ("frame", "image", "file", "filename", "file_name", "path"),
}
UNITS = {"_s": 1.0, "_ms": 1e-3, "_us": 1e-6, "_ns": 1e-9}  # [s], by the end of a time column's name
PAIRS = {WHEELS: ("left", "right"), ACTIONS: ("throttle", "steering")}
CSV_BYTES = 1 << 28


class Columns:
    """Finds columns by their usual names, or by names that are given.

    Args:
        given: "role=column" each, for example "time=stamp_of_camera".
    Raises:
        ConfigError: there is no such role.
    """

    def __init__(self, given: Iterable[str] = ()) -> None:
        self._given: dict[str, str] = {}
        for text in given:
            role, found, column = text.partition("=")
            if not (found and column) or role not in NAMES:
                raise ConfigError(
                    f"columns: expected {'|'.join(NAMES)}=COLUMN, such as time=stamp, got {text!r}"
                )
            self._given[role] = column

    def find(self, role: str, columns: Iterable[str]) -> str | None:
        """The column of a role; None where there is none."""
        if role in self._given:
            return self._given[role] if self._given[role] in columns else None
        simple = {column.strip().lower().replace(" ", "_"): column for column in columns}
        for name in NAMES[role]:
            for end in ("", *(UNITS if role == "time" else ())):
                if name + end in simple:
                    return simple[name + end]
        return None

    def commands(self, columns: Iterable[str], source: str) -> tuple[str, tuple[str, str]]:
        """The kind of the commands, and their two columns.

        Raises:
            RecordError: there are none.
        """
        names = list(columns)
        for kind, roles in PAIRS.items():
            pair = [self.find(role, names) for role in roles]
            if pair[0] is not None and pair[1] is not None:
                return kind, (pair[0], pair[1])
        raise missing("left and right (wheel duties), or throttle and steering", names, source)


def missing(what: str, columns: Iterable[str], source: str) -> RecordError:
    """The error where a column was not found."""
    got = ", ".join(str(column)[:40] for column in columns) or "none"
    return RecordError(
        f"{source}: expected columns {what}, got {got:.300}; name yours with --columns, such as "
        "time=stamp,left=l,right=r"
    )


def unit_of(column: str) -> float:
    """The unit [s] in the name of a time column."""
    return next((unit for end, unit in UNITS.items() if column.strip().lower().endswith(end)), 1.0)


def read_csv(path: Path) -> dict[str, list[str]]:
    """The columns of a CSV file whose first row has their names.

    Raises:
        RecordError: it cannot be read, or a row has more or fewer values than the first.
    """
    rows = csv.reader(read_text(path, RecordError, most=CSV_BYTES).splitlines())
    try:
        head = next(rows, [])
        body = [row for row in rows if row]
    except csv.Error as err:
        raise RecordError(f"{path}: not a CSV file ({err})") from err
    if len(set(head)) < len(head) or not head:
        raise RecordError(f"{path}: expected a first row of different column names, got {head!r:.200}")
    for number, row in enumerate(body, 1):
        if len(row) != len(head):
            raise RecordError(f"{path}: row {number} has {len(row)} values, expected {len(head)}")
    return {name: [row[place] for row in body] for place, name in enumerate(head)}


def numbers(columns: Mapping[str, list[str]], name: str, source: str) -> FloatArray:
    """A column of a CSV file as numbers.

    Raises:
        RecordError: a value is none.
    """
    values = np.empty(len(columns[name]))
    for row, text in enumerate(columns[name]):
        try:
            values[row] = float(text)
        except ValueError as err:
            raise RecordError(
                f"{source}: {name} {text[:40]!r} in row {row + 1}, expected a number"
            ) from err
    return values
