"""The log files of a run: Stable-Baselines3's output formats under 2019's names, continued by a resume.

File names are those of OpenAI baselines' `logger.py`, June 2019; `OPENAI_LOGDIR` and
`OPENAI_LOG_FORMAT` mean what they meant."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import logging
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import write_text
from dreamduck.rl.sb3 import (
    CSVOutputFormat,
    HumanOutputFormat,
    JSONOutputFormat,
    KVWriter,
    TensorBoardOutputFormat,
)

log = logging.getLogger(__name__)
FORMATS = ("stdout", "log", "csv", "json", "tensorboard")
USUAL = "stdout,log,csv,tensorboard"
STEP_COLUMNS = ("misc/total_timesteps", "total_timesteps", "TimestepsSoFar", "total/steps", "steps")
APPENDED = ("log.txt", "progress.json", "monitor.csv")  # a resume truncates them


def make_folder(log_path: str | None) -> Path:
    """Make the folder of the logs.

    Args:
        log_path: None takes `OPENAI_LOGDIR`, or a new folder among the temporary ones.
    Raises:
        ConfigError: it cannot be written.
    """
    name = log_path or os.environ.get("OPENAI_LOGDIR")
    if not name:
        stamp = datetime.datetime.now().strftime("openai-%Y-%m-%d-%H-%M-%S-%f")
        name = os.path.join(tempfile.gettempdir(), stamp)
    path = Path(name).expanduser()
    check_writable(path, "log_path")
    return path


def check_writable(path: Path, flag: str) -> None:
    """Make a folder, and try to make a file in it.

    Args:
        path: the folder.
        flag: the flag that named it.
    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as err:
        raise ConfigError(f"{flag}: cannot write to {path} ({err.strerror or err})") from err


def move_previous(path: Path) -> Path | None:
    """Move an earlier run's files into `previous-N`, so that a new run overwrites nothing.

    Returns:
        The new folder; None where there were no such files.
    """
    names = ("progress.csv", *APPENDED, "tb", "checkpoints", "videos")
    present = [path / name for name in names if (path / name).exists()]
    if not present:
        return None
    number = 1
    while (path / f"previous-{number}").exists():
        number += 1
    target = path / f"previous-{number}"
    target.mkdir()
    for item in present:
        item.rename(target / item.name)
    return target


def truncate(path: Path, sizes: Mapping[str, Any]) -> None:
    """Cut a run's logs back to a checkpoint, so that no step is logged twice.

    Args:
        path: the folder of the logs.
        sizes: of each file [bytes], by `RunLog.sizes`; empty for a checkpoint without them.
    """
    files = [path / name for name in APPENDED] if sizes else []
    files += (path / "tb").glob("events*") if sizes else []
    for file in files:
        size = sizes.get(file.relative_to(path).as_posix())
        if size is None and file.parent != path:
            file.unlink()  # TensorBoard began it after the checkpoint
        elif file.is_file() and isinstance(size or 0, int) and 0 <= (size or 0) < file.stat().st_size:
            os.truncate(file, size or 0)


class RunLog:
    """Writes entries to every format that is wanted.

    Args:
        path: the folder.
        formats: some of `FORMATS`; None: `OPENAI_LOG_FORMAT`, or the usual.
        resume_step: None starts new files; otherwise they continue, without the entries after that step.
        sizes: with `resume_step`, the sizes of the files at the checkpoint [bytes].
        quiet: nothing on the screen.
    """

    def __init__(
        self,
        path: Path,
        formats: str | None = None,
        resume_step: int | None = None,
        sizes: Mapping[str, Any] | None = None,
        quiet: bool = False,
    ) -> None:
        wanted = wanted_formats(formats)
        self.path = path
        self._writers: list[KVWriter] = []
        self._files = contextlib.ExitStack()
        mode = "w" if resume_step is None else "a"
        if resume_step is not None:
            truncate(path, sizes or {})
        if "stdout" in wanted and not quiet:
            self._writers.append(HumanOutputFormat(sys.stdout))
        if "log" in wanted:
            # A path in another encoding than the locale's is written as \\udcXX.
            file: Any = open(path / "log.txt", mode, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
            self._writers.append(HumanOutputFormat(self._files.enter_context(file)))
        if "csv" in wanted:
            self._writers.append(_CSV(path / "progress.csv", resume_step))
        if "json" in wanted:
            self._writers.append(_JSON(path / "progress.json", mode))
        if "tensorboard" in wanted:
            try:
                self._writers.append(TensorBoardOutputFormat(str(path / "tb")))
            except UnicodeEncodeError:  # TensorBoard's files need a path that UTF-8 can write
                log.warning("tensorboard: cannot write to %a in this locale; set LC_ALL=C.UTF-8", str(path))

    def sizes(self) -> dict[str, int]:
        """The size of each log file now [bytes], for the checkpoint that is about to be written."""
        files = [self.path / name for name in APPENDED] + sorted((self.path / "tb").glob("events*"))
        return {
            file.relative_to(self.path).as_posix(): file.stat().st_size for file in files if file.is_file()
        }

    def write(self, values: Mapping[str, Any], step: int) -> None:
        """Write one entry.

        Args:
            values: by column; numbers.
            step: where TensorBoard puts it.
        """
        excluded: dict[str, tuple[str, ...]] = {
            key: () if math.isfinite(value) else ("tensorboard",) for key, value in values.items()
        }
        for writer in self._writers:
            writer.write(dict(values), excluded, step)

    def message(self, text: str) -> None:
        """Write a line to the screen and `log.txt`."""
        with tqdm.external_write_mode():  # a progress bar steps aside
            for writer in self._writers:
                if isinstance(writer, HumanOutputFormat):
                    writer.write_sequence([text])

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers:
            writer.close()
        self._files.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
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


class _CSV(CSVOutputFormat):
    """A CSV file that a resumed run continues."""

    def __init__(self, path: Path, resume_step: int | None) -> None:
        self.keys, self.separator, self.quotechar = [], ",", '"'
        kept = io.StringIO()
        if resume_step is not None and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            reader = csv.DictReader(
                line for line in lines if line.endswith("\n")
            )  # a kill cuts a line short
            self.keys = list(reader.fieldnames or [])
            if self.keys:
                writer = csv.DictWriter(kept, self.keys, lineterminator="\n", extrasaction="ignore")
                writer.writeheader()
                writer.writerows(entry for entry in reader if _step_of(entry) <= resume_step)
        write_text(path, kept.getvalue())
        self.file = open(path, "r+", encoding="utf-8")  # noqa: SIM115  (closed by close)
        self.file.seek(0, os.SEEK_END)

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        if not self.keys:  # the parent's order of new columns is that of a set
            self.keys = list(key_values)
            self.file.write(",".join(self.keys) + "\n")
        super().write(key_values, key_excluded, step)


class _JSON(JSONOutputFormat):
    """JSON lines; what is not finite is null."""

    def __init__(self, path: Path, mode: str) -> None:
        self.file: Any = open(path, mode, encoding="utf-8")  # noqa: SIM115  (closed by close)

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        finite = {key: value if math.isfinite(value) else None for key, value in key_values.items()}
        super().write(finite, key_excluded, step)


def _step_of(entry: Mapping[str, str]) -> float:
    for column in STEP_COLUMNS:
        if entry.get(column):
            with contextlib.suppress(ValueError):
                return float(entry[column])
            break
    return math.inf
