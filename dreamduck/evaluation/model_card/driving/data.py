"""The real episodes that a card measures with, as a world model sees them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.evaluation.model_card.driving.collection import Recorded, map_of
from dreamduck.evaluation.model_card.driving.road_ahead import road_ahead
from dreamduck.recordings import TELEMETRY, Episode
from dreamduck.simulator.environment import STEP_TIME
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.vae.layout import Frames

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

ENCODED = 1024  # frames at a time
POSE = slice(TELEMETRY.index("x"), TELEMETRY.index("heading") + 1)


@dataclasses.dataclass(frozen=True)
class RealEpisodes:
    """E recorded episodes, N steps in all, one after another.

    Attributes:
        z: (N, Z) float32, mu of the frames, by the model's VAE.
        action: (N, A) float32, taken at the frame.
        reward: (N,) float32, the action's.
        done: (N,) bool, whether the action truly ended the episode.
        offsets: (E + 1,) int64, the first row of each episode, and N at the end.
        telemetry: (N, 8) float32, `recordings.TELEMETRY`; None where an episode has none.
        frames: (N, 64, 64, 3) uint8.
        maps: (E,) the map of each episode; "" where it is not known.
        ahead: (N,) int64, index into `road_ahead.AHEAD`, -1 off the lane; None where a map is not known.
        policies: (E,) the behaviour policy of each episode; "" where it is not known.
        least_steps: shorter episodes were recorded again.
    """

    z: FloatArray
    action: FloatArray
    reward: FloatArray
    done: BoolArray
    offsets: IntArray
    telemetry: FloatArray | None
    frames: Frames
    maps: tuple[str, ...]
    ahead: IntArray | None
    policies: tuple[str, ...]
    least_steps: int = 1

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """(E,) steps of each episode."""
        return np.diff(self.offsets)

    @property
    def episode(self) -> IntArray:
        """(N,) the number of the episode that each step belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def rows(self, episode: int) -> slice:
        """Where an episode lies."""
        return slice(int(self.offsets[episode]), int(self.offsets[episode + 1]))

    def column(self, name: str) -> FloatArray:
        """One quantity of the telemetry, (N,)."""
        assert self.telemetry is not None
        return self.telemetry[:, TELEMETRY.index(name)]


class RealData(NamedTuple):
    """What a card measures with.

    Attributes:
        train: the probes learn from these.
        held_out: the sections measure on these.
        unseen: likewise, on maps that the model never saw; None where there are none.
        environment: what a step means, see `simulator.environment`.
        source: where the episodes come from, for the card.
    """

    train: RealEpisodes
    held_out: RealEpisodes
    unseen: RealEpisodes | None
    environment: dict[str, Any]
    source: dict[str, Any]

    @property
    def step_time(self) -> float:
        """Duration of one step [s]."""
        return float(self.environment.get("step_time", STEP_TIME))


def encode(recorded: Recorded, model: WorldModel) -> RealData:
    """The episodes as one model sees them.

    Raises:
        WeightsError: the model is damaged.
    """
    train, kept, unseen = (
        encode_episodes(group, model) if group else None
        for group in (recorded.train, recorded.held_out, recorded.unseen)
    )
    assert train is not None
    assert kept is not None
    return RealData(train, kept, unseen, recorded.environment, recorded.source)


def encode_episodes(episodes: Sequence[Episode], model: WorldModel) -> RealEpisodes:
    """Episodes as one model sees them.

    Args:
        episodes: one or more.
        model: the world model.
    """
    frames = np.concatenate([episode.obs for episode in episodes])
    telemetry = [episode.telemetry for episode in episodes if episode.telemetry is not None]
    ahead = [
        road_ahead(map_of(episode), episode.telemetry[:, POSE])
        for episode in episodes
        if episode.telemetry is not None
    ]
    whole = len(telemetry) == len(episodes)
    classes = [one for one in ahead if one is not None]
    return RealEpisodes(
        z=np.concatenate(
            [model.encode(frames[at : at + ENCODED]) for at in range(0, len(frames), ENCODED)]
        ),
        action=np.concatenate([episode.action for episode in episodes]),
        reward=np.concatenate([episode.reward for episode in episodes]),
        done=np.concatenate([episode.done for episode in episodes]),
        offsets=np.concatenate([[0], np.cumsum([len(episode) for episode in episodes])]).astype(np.int64),
        telemetry=np.concatenate(telemetry) if whole else None,
        frames=frames,
        maps=tuple(map(map_of, episodes)),
        ahead=np.concatenate(classes) if len(classes) == len(episodes) else None,
        policies=tuple(str(episode.meta.get("policy", "")) for episode in episodes),
        least_steps=max(int((one.meta.get("recorder") or {}).get("min_frames", 1)) for one in episodes),
    )
