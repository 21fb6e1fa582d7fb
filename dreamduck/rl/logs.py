"""The logs of 2019: `progress.csv`, `log.txt`, the table on the screen, TensorBoard.

File names, column names and the table's form are those of
OpenAI baselines' `logger.py`, June 2019, so that what reads those logs reads these.
`OPENAI_LOGDIR` and `OPENAI_LOG_FORMAT` mean what they meant."""

from __future__ import annotations

import csv
import datetime
import io
import json
import logging
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tqdm import tqdm

from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import replacing

log = logging.getLogger(__name__)
FORMATS = ("stdout", "log", "csv", "json", "tensorboard")
USUAL = "stdout,log,csv,tensorboard"
STEP_COLUMNS = ("misc/total_timesteps", "total_timesteps", "TimestepsSoFar", "total/steps", "steps")
WIDEST = 30  # letters of a key or value in the table


def folder(log_path: str | None) -> Path:
    """The folder of the logs, made and known to be writable.

    Raises:
        ConfigError: it cannot be written.
    """
    name = log_path or os.environ.get("OPENAI_LOGDIR")
    if not name:
        stamp = datetime.datetime.now().strftime("openai-%Y-%m-%d-%H-%M-%S-%f")
        name = os.path.join(tempfile.gettempdir(), stamp)
    path = Path(name).expanduser()
    writable(path, "log_path")
    return path


def writable(path: Path, flag: str) -> None:
    """Make a folder, and try whether files can be made in it.

    Raises:
        ConfigError: they cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as err:
        raise ConfigError(f"{flag}: cannot write to {path} ({err.strerror or err})") from err


def set_aside(path: Path) -> Path | None:
    """Move an earlier run's files into `previous-N`, so that a new run overwrites nothing."""
    names = ["progress.csv", "progress.json", "log.txt", "monitor.csv", "tb", "checkpoints", "videos"]
    there = [path / name for name in names if (path / name).exists()]
    if not there:
        return None
    number = 1
    while (path / f"previous-{number}").exists():
        number += 1
    target = path / f"previous-{number}"
    target.mkdir()
    for item in there:
        item.rename(target / item.name)
    return target


def cut_back(path: Path, sizes: Mapping[str, Any]) -> None:
    """Cut a run's logs to what they held when a checkpoint was written, so that no step is told twice.

    Args:
        sizes: of each file [bytes], as `Progress.sizes` gave them; empty for a checkpoint that tells none.
    """
    if not sizes:
        return
    for name in ("log.txt", "progress.json", "monitor.csv"):
        _shorten(path / name, sizes.get(name, 0))
    for file in (path / "tb").glob("events*"):
        size = sizes.get(f"tb/{file.name}")
        if size is None:  # it was begun after the checkpoint
            file.unlink()
        else:
            _shorten(file, size)


def _shorten(path: Path, size: Any) -> None:
    if path.is_file() and isinstance(size, int) and 0 <= size < path.stat().st_size:
        os.truncate(path, size)


class Progress:
    """Writes rows of figures to every format that is wanted.

    Args:
        path: the folder. formats: some of `FORMATS`; None: `OPENAI_LOG_FORMAT`, or the usual.
        resume_step: None begins new files; otherwise they go on, less the rows after that step.
        sizes: with resume_step, what the checkpoint says of the files' sizes [bytes].
        files: False writes to the screen alone.
    """

    def __init__(
        self,
        path: Path,
        formats: str | None = None,
        resume_step: int | None = None,
        sizes: Mapping[str, Any] | None = None,
        files: bool = True,
        quiet: bool = False,
    ) -> None:
        wanted = wanted_formats(formats)
        self.path = path
        self._screen = "stdout" in wanted and not quiet
        self._table: _Table | None = None
        self._text: IO[str] | None = None
        self._json: IO[str] | None = None
        self._board: Any = None
        if not files:
            return
        mode = "w" if resume_step is None else "a"
        if resume_step is not None:
            cut_back(path, sizes or {})
        if "csv" in wanted:
            self._table = _Table(path / "progress.csv", resume_step)
        if "log" in wanted:
            # A path in another encoding than the locale's is written as \\udcXX.
            self._text = open(  # noqa: SIM115  (closed by close)
                path / "log.txt", mode, encoding="utf-8", errors="backslashreplace"
            )
        if "json" in wanted:
            self._json = open(path / "progress.json", mode, encoding="utf-8")  # noqa: SIM115  (likewise)
        if "tensorboard" in wanted:
            from dreamduck.rl.sb3 import TensorBoardOutputFormat, kept_out

            try:
                with kept_out():
                    self._board = TensorBoardOutputFormat(str(path / "tb"))
            except UnicodeEncodeError:  # TensorBoard's files want a path that UTF-8 can write
                log.warning("tensorboard: cannot write to %a in this locale; set LC_ALL=C.UTF-8", str(path))

    def sizes(self) -> dict[str, int]:
        """How many bytes each log file has now, for the checkpoint that is about to be written."""
        files = [self.path / name for name in ("log.txt", "progress.json", "monitor.csv")]
        files += sorted((self.path / "tb").glob("events*"))
        return {
            file.relative_to(self.path).as_posix(): file.stat().st_size for file in files if file.is_file()
        }

    def row(self, values: Mapping[str, Any], step: int) -> None:
        """Write one row; `step` is where TensorBoard puts it."""
        if self._table is not None:
            self._table.write(values)
        self._say(table_text(values))
        if self._json is not None:
            self._json.write(json.dumps({k: _number(v) for k, v in values.items()}) + "\n")
            self._json.flush()
        if self._board is not None:
            finite = {key: _number(value) for key, value in values.items() if _number(value) is not None}
            self._board.write(finite, dict.fromkeys(finite), step)

    def note(self, text: str) -> None:
        """Write a line of words to the screen and `log.txt`."""
        self._say(text + "\n")

    def _say(self, text: str) -> None:
        if self._text is not None:
            self._text.write(text)
            self._text.flush()
        if self._screen:
            with tqdm.external_write_mode():  # a progress bar steps aside
                sys.stdout.write(text)
                sys.stdout.flush()

    def close(self) -> None:
        """Close the files."""
        for file in (self._text, self._json, self._board):
            if file is not None:
                file.close()
        if self._table is not None:
            self._table.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wanted_formats(formats: str | None = None) -> list[str]:
    """The formats that `OPENAI_LOG_FORMAT` asks for, or the usual.

    Raises:
        ConfigError: one is unknown.
    """
    wanted = [name for name in (formats or os.environ.get("OPENAI_LOG_FORMAT") or USUAL).split(",") if name]
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown:
        raise ConfigError(f"OPENAI_LOG_FORMAT: expected some of {', '.join(FORMATS)}, got {unknown[0]!r}")
    return wanted


class _Table:
    """A CSV file whose columns may grow; it is written anew only when they do."""

    def __init__(self, path: Path, resume_step: int | None) -> None:
        self._path = path
        self._keys: list[str] = []
        rows: list[dict[str, str]] = []
        if resume_step is not None and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            # A kill may have cut the last line short.
            reader = csv.DictReader(line for line in lines if line.endswith("\n"))
            self._keys = list(reader.fieldnames or [])
            rows = [row for row in reader if _step_of(row) <= resume_step]
        self._rewrite(rows)
        self._file = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115  (closed by close)

    def write(self, values: Mapping[str, Any]) -> None:
        new = [key for key in values if key not in self._keys]
        if new:
            self._file.close()
            with open(self._path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            self._keys += new
            self._rewrite(rows)
            self._file = open(self._path, "a", newline="", encoding="utf-8")  # noqa: SIM115  (closed by close)
        csv.DictWriter(self._file, self._keys, lineterminator="\n").writerow(dict(values))
        self._file.flush()

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO()
        if self._keys:
            writer = csv.DictWriter(text, self._keys, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        with replacing(self._path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")

    def close(self) -> None:
        self._file.close()


def table_text(values: Mapping[str, Any]) -> str:
    """The boxed table that 2019 printed, keys in order of the alphabet."""
    shown = {_short(key): _short(_shown(value)) for key, value in sorted(values.items())}
    if not shown:
        return ""
    left, right = max(map(len, shown)), max(map(len, shown.values()))
    line = "-" * (left + right + 7)
    body = [f"| {key:<{left}} | {value:<{right}} |" for key, value in shown.items()]
    return "\n".join([line, *body, line]) + "\n"


def _short(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


def _shown(value: Any) -> str:
    return f"{value:<8.3g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _step_of(row: Mapping[str, str]) -> float:
    for column in STEP_COLUMNS:
        if row.get(column):
            try:
                return float(row[column])
            except ValueError:
                return math.inf
    return math.inf
