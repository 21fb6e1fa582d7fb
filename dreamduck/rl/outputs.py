"""The files that a run writes, checked before anything is trained: its agent, its logs, a video."""

from __future__ import annotations

import os
from pathlib import Path

from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.common.video import check_suffix
from dreamduck.rl import logs
from dreamduck.rl.agents import agent_file
from dreamduck.rl.agents.checkpoint import InitialAgent
from dreamduck.rl.arguments import Flags
from dreamduck.rl.video import has_display


def check(flags: Flags, initial: InitialAgent, loads: bool) -> Path:
    """Refuse paths that cannot be written; make the folder of the logs where it is needed.

    Args:
        flags: of the command.
        initial: what the run starts from.
        loads: whether the command line names that file.
    Returns:
        The folder of the logs; the current one where nothing is written to it.
    Raises:
        ConfigError: a path cannot be written, or has files of another run.
    """
    if flags.save_path is not None:
        _check_save_path(Path(flags.save_path).expanduser(), flags.fresh, initial, loads)
    if flags.video is not None:
        video = Path(flags.video).expanduser()
        check_suffix(video)
        logs.check_writable(video.parent, "video")
    trains = bool(int(flags.num_timesteps))
    if trains:
        logs.wanted_formats()
    video_beside_logs = flags.play and flags.video is None and not has_display()
    return logs.make_folder(flags.log_path) if trains or video_beside_logs else Path()


def video_path(flags: Flags, folder: Path) -> Path | None:
    """The video of `--play`: --video, or beside the logs without a display; None is a window."""
    if flags.video is not None:
        return Path(flags.video).expanduser()
    return None if has_display() else folder / "play.mp4"


def _check_save_path(path: Path, fresh: bool, initial: InitialAgent, loads: bool) -> None:
    """Refuse a path that cannot be written, or that has another run's agent."""
    logs.check_writable(path.parent, "save_path")
    if path.is_dir() or not path.name:
        raise ConfigError(f"save_path: expected a file, got the folder {path}")
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise ConfigError(f"save_path: expected a file, got {path}, which is no regular file")
    same = loads and initial.save is not None and path.samefile(initial.save.path)
    if not (fresh or same or _wrote(path, initial)):
        raise ConfigError(
            f"save_path: {path} exists already, and is not of this run; give another path, or --fresh "
            "to overwrite it"
        )


def _wrote(path: Path, initial: InitialAgent) -> bool:
    """Whether the run that is resumed wrote this file."""
    if initial.checkpoint is None or initial.card is None:
        return False
    try:
        card = agent_file.read(path).card
    except CheckpointError:
        return False
    return card is not None and card["training"].get("run") == initial.card["training"].get("run")
