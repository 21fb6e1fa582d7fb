"""A training's logbook: JSON lines, TensorBoard and curves, beside the run's resolved configuration."""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.common.plot import figure
from dreamduck.common.readers import PathLike, parse_json, read_text
from dreamduck.common.storage import write_json, write_text

ENDINGS = (".jsonl", ".config.json", ".png")
COLUMNS = 3  # of panels in an image
FEW = 30  # points that are marked one by one


class TrainingLog:
    """Writes metrics to `<folder>/<name>.jsonl` and to TensorBoard files beside it.

    Rows already in the file from steps at or after `resume_step` are dropped, so that a resumed
    run does not write the same step twice. Files that a killed run left half written are removed.

    Args:
        folder: to write to.
        name: of the files.
        config: the run's settings, for `<name>.config.json`.
        resume_step: the first step that the run will write.
        tensorboard: write TensorBoard files too.
        fresh: the run is a new one. The logbook of an earlier run is kept as `<name>.<number>`.
    """

    def __init__(
        self,
        folder: PathLike,
        name: str,
        config: Mapping[str, Any],
        resume_step: int = 0,
        tensorboard: bool = True,
        fresh: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{name}.jsonl"
        if fresh:
            _keep(self.folder, name)
        write_json(self.folder / f"{name}.config.json", dict(config))
        kept = [row for row in read_training_log(self.path) if row["step"] < resume_step]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  (closed by close)
        board = self.folder / "tensorboard" / name
        self._board = EventFile(board, resume_step) if tensorboard else None

    def write(self, step: int, **metrics: float) -> None:
        """Add the metrics of one step; what is not finite is written as null."""
        finite = {k: float(v) if math.isfinite(v) else None for k, v in metrics.items()}
        self._file.write(json.dumps({"step": step, "time": round(time.time(), 3), **finite}) + "\n")
        self._file.flush()
        if self._board is not None:
            self._board.write(step, {key: value for key, value in finite.items() if value is not None})

    def draw(self) -> Path:
        """Draw the curves of all metrics so far to `<folder>/<name>.png`."""
        path = self.path.with_suffix(".png")
        draw_curves(path, read_training_log(self.path))
        return path

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def logbook_files(folder: PathLike, name: str) -> list[Path]:
    """The files of a logbook, without TensorBoard's."""
    return [Path(folder) / f"{name}{ending}" for ending in ENDINGS]


def _keep(folder: Path, name: str) -> None:
    """Move an earlier run's logbook to the first free `<name>.<number>`."""
    if not (folder / f"{name}.jsonl").exists():
        return
    number = next(n for n in itertools.count(1) if not (folder / f"{name}.{n}.jsonl").exists())
    kept = f"{name}.{number}"
    pairs = list(zip(logbook_files(folder, name), logbook_files(folder, kept), strict=True))
    pairs.append((folder / "tensorboard" / name, folder / "tensorboard" / kept))
    for old, new in reversed(pairs):  # the rows last: they mark a logbook that must be moved
        if old.exists():
            old.rename(new)


def read_training_log(path: PathLike) -> list[dict[str, Any]]:
    """The rows of a logbook; a last line cut short by a kill is left out.

    Raises:
        ConfigError: another line is damaged, or the file is not a logbook.
    """
    if not os.path.lexists(path):
        return []
    remedy = "move it away, or choose another folder"
    lines = read_text(path, remedy=remedy).splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        del lines[-1]
    rows = []
    for number, line in enumerate(lines, 1):
        row = parse_json(line, f"{path}: row {number}", remedy=remedy)
        if not isinstance(row, dict) or type(row.get("step")) is not int or not _are_numbers(row):
            raise ConfigError(f"{path}: row {number}: expected a step and its numbers; {remedy}")
        rows.append(row)
    return rows


def _are_numbers(row: Mapping[str, Any]) -> bool:
    return all(value is None or type(value) in (int, float) for value in row.values())


def draw_curves(path: PathLike, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw every metric against the step, one panel each.

    Args:
        rows: of a logbook. "held_out/loss" is drawn into the panel of "loss".
    """
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("step", "time") and value is not None:
                *group, metric = name.split("/")
                curve = "/".join(group) or "training"
                panels.setdefault(metric, {}).setdefault(curve, []).append((row["step"], value))
    varied = {
        metric: curves
        for metric, curves in panels.items()
        if len({value for points in curves.values() for _, value in points}) > 1
    }
    down = max(1, -(-len(varied) // COLUMNS))
    with figure(path, 4 * COLUMNS, 2.6 * down) as drawn:
        places = drawn.subplots(down, COLUMNS, squeeze=False).ravel()
        for place, (metric, curves) in zip(places, varied.items(), strict=False):
            for curve, points in curves.items():
                place.plot(
                    *zip(*points, strict=True), "o-" if len(points) < FEW else "-", ms=3, lw=1, label=curve
                )
            place.set(title=metric.replace("_", " "), xlabel="step")
            if list(curves) != ["training"]:
                place.legend(fontsize="small")
        for place in places[len(varied) :]:
            place.set_axis_off()


class EventFile:
    """A file of scalars for TensorBoard, written by TensorBoard itself.

    TensorBoard hides what an earlier run wrote of steps at or after `resume_step`.

    Args:
        folder: of the file.
        resume_step: the first step that this run will write.
    """

    def __init__(self, folder: Path, resume_step: int) -> None:
        without_tensorflow()
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._writer = EventFileWriter(str(folder))
        start = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(wall_time=time.time(), step=resume_step, session_log=start))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the scalars of one step."""
        parts = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_event(
            self._event(wall_time=time.time(), step=step, summary=self._summary(value=parts))
        )

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


def without_tensorflow() -> None:
    """Let TensorBoard take its own stand-in for TensorFlow, which would load 300 MB in 3 seconds."""
    from tensorboard import compat
    from tensorboard.compat import tensorflow_stub

    compat.tf = tensorflow_stub
