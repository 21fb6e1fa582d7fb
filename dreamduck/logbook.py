"""A training's logbook: JSON lines and TensorBoard, beside the run's resolved configuration."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from dreamduck.storage import PathLike, replacing, write_json


class Logbook:
    """Writes metrics to `<folder>/<name>.jsonl` and to TensorBoard files beside it.

    Rows already in the file from steps at or after `resume_step` are dropped, so that a resumed
    run does not tell the same step twice.
    """

    def __init__(
        self,
        folder: PathLike,
        name: str,
        config: Mapping[str, Any],
        resume_step: int = 0,
        tensorboard: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{name}.jsonl"
        write_json(self.folder / f"{name}.config.json", dict(config))
        kept = [row for row in read_logbook(self.path) if row["step"] < resume_step]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  (closed by close)
        self._writer = _tensorboard_writer(self.folder / "tensorboard" / name) if tensorboard else None

    def write(self, step: int, **metrics: float) -> None:
        """Add the metrics of one step; what is not finite is written as null."""
        finite = {k: float(v) if math.isfinite(v) else None for k, v in metrics.items()}
        self._file.write(json.dumps({"step": step, "time": round(time.time(), 3), **finite}) + "\n")
        self._file.flush()
        if self._writer is not None:
            for key, value in finite.items():
                if value is not None:
                    self._writer.add_scalar(key, value, step)

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> Logbook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_logbook(path: PathLike) -> list[dict[str, Any]]:
    """The rows of a logbook; a last line cut short by a kill is left out."""
    rows = []
    if Path(path).exists():
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def _tensorboard_writer(folder: Path) -> Any:
    """A scalar writer that needs neither TensorFlow nor a graph."""
    # It imports torch where there is one, for tensors that are never given here; that takes
    # seconds and 200 MB in every process that trains.
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]

    return SummaryWriter(str(folder))
