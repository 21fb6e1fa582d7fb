"""From logs of any Gymnasium environment to recordings: frames of 64 by 64, actions as vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import dreamduck
from dreamduck.common.config import check, option, part
from dreamduck.common.errors import ActionError, RecordError
from dreamduck.recordings.episode import MAX_FRAMES, Episode
from dreamduck.recordings.logs.environment_log import EnvironmentLog, environment_logs
from dreamduck.recordings.logs.ingest import write_recordings
from dreamduck.recordings.sources import ActionSpace
from dreamduck.recordings.sources.gym_environment import GymEnvironment, inspect
from dreamduck.recordings.sources.images import ImageReader
from dreamduck.simulator.environment import ENVIRONMENT


@dataclasses.dataclass(frozen=True)
class EnvironmentIngestConfig:
    """How logs of an environment are read."""

    environment: GymEnvironment = part(GymEnvironment)
    records: str = option("records", "folder of recordings to write to")
    commands: str = option("", "CSV file of the steps; by default the one beside the frames")
    episode_steps: int = option(1000, "longest recording", unit="steps", low=2, high=MAX_FRAMES)
    min_steps: int = option(2, "shorter episodes are left out", unit="steps", low=2, high=MAX_FRAMES)

    def __post_init__(self) -> None:
        check(self)


def ingest_environment(
    source: Path, config: EnvironmentIngestConfig, fresh: bool = False
) -> tuple[int, int]:
    """Write the recordings of a log.

    Args:
        source: see `environment_logs`.
        config: the settings.
        fresh: write over those that were made of the same source before.
    Returns:
        How many episodes and how many steps.
    Raises:
        RecordError: the log cannot be used as it is.
        FrameError: a frame is no image.
        ConfigError: the source was ingested before, and not `fresh`; or the environment cannot be made.
    """
    _, description = inspect(config.environment)
    space = ActionSpace.of_environment(description)
    assert space is not None

    def episodes() -> Iterator[Episode]:
        logs = environment_logs(source, config.commands)
        vectors = [_vectors(one, space) for one in logs]
        for one, actions in zip(logs, vectors, strict=True):
            yield from _pieces(one, actions, source, config, description)

    return write_recordings(source, Path(config.records), episodes(), config.min_steps, fresh)


def _vectors(one: EnvironmentLog, space: ActionSpace) -> Any:
    """The actions (T, A) of a log as vectors."""
    actions = one.actions
    if space.kind == "discrete":
        whole = actions.reshape(len(actions), -1)
        if whole.shape[1] == 1 and (whole == np.rint(whole)).all():
            actions = whole[:, 0].astype(np.int64)
    elif actions[0].size == space.size:
        actions = actions.reshape(len(actions), *space.shape)
    try:
        return space.encode(actions, len(actions)).astype(np.float32)
    except ActionError as err:
        raise RecordError(f"{one.name}: {err}") from err


def _pieces(
    one: EnvironmentLog,
    actions: Any,
    source: Path,
    config: EnvironmentIngestConfig,
    description: dict[str, Any],
) -> Iterator[Episode]:
    """The episodes that a log becomes."""
    count, longest = len(actions), config.episode_steps
    reader = ImageReader(None, config.environment.margins, one.name)
    for at in range(0, count, longest):
        steps = slice(at, min(at + longest, count))
        length = steps.stop - at
        if length < config.min_steps:
            continue
        frames = [reader(frame) for frame in one.frames(range(at, steps.stop))]
        if len(frames) < length:
            raise RecordError(
                f"{one.name}: ends after {at + len(frames)} of {count} frames; it was cut short"
            )
        done = np.zeros(length, np.bool_)
        done[-1] = one.terminated and steps.stop == count
        yield Episode(
            obs=np.stack(frames),
            action=actions[steps],
            reward=(np.zeros(count) if one.rewards is None else one.rewards)[steps].astype(np.float32),
            done=done,
            meta={
                "source": source.name,
                "log": one.name[-200:],
                "policy": "log",
                **({"rewards": False} if one.rewards is None else {}),
                "end": "terminated" if done[-1] else "time",
                "map_name": description["id"],
                "simulator": "gymnasium",
                ENVIRONMENT: description,
                "versions": {"dreamduck": dreamduck.__version__},
            },
        )
