"""The plan of a recording: settings, the files of the episodes, and which are missing."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from dreamduck.common.config import check, option, part, replace, to_dict
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.common.seeding import generator
from dreamduck.recordings.behavior_policies import DEFAULT_MIX, POLICIES, parse_mix
from dreamduck.recordings.episode import FRAME_SHAPE, MAX_FRAMES, MAX_SEED, read_episode
from dreamduck.registration import MAX_EPISODE_STEPS
from dreamduck.simulator.base import Variation
from dreamduck.simulator.environment import describe
from dreamduck.simulator.maps.generated import canonical_map_names, expand_map_names
from dreamduck.simulator.road import RoadConfig

log = logging.getLogger(__name__)

BATCH, BATCH_UPSTREAM = 16, 2  # upstream takes a process for each car
EPISODES_A_SEED = 1_000_000
OLDER = {"start_angle": 60.0}  # of recordings that are older than the setting
ATTEMPTS = 20  # to reach `min_frames`
# streams of an episode's random numbers
POLICY_CHOICE, SIMULATION, START, POLICY_NOISE, VARIATION = range(5)


@dataclasses.dataclass(frozen=True)
class VariationConfig:
    """Shares of episodes that are recorded with other settings of the road."""

    domain_rand_share: float = option(
        0.0, "share of episodes with --domain-rand, if not all have it", low=0.0, high=1.0
    )
    distortion_share: float = option(
        0.0, "share of episodes with --distortion, if not all have it", low=0.0, high=1.0
    )
    dynamics_rand_share: float = option(
        0.0, "share of episodes with --dynamics-rand, if not all have it", low=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        check(self)


# Settings that a file only has where they are not these, so that those of older versions stay the same.
UNWRITTEN = {"dynamics_rand": False, **to_dict(VariationConfig())}


# Settings that change no episode, or that its file holds elsewhere.
UNIMPORTANT = ("records", "max_trials", "batch", "map_name", "max_frames", "full_episode")


@dataclasses.dataclass(frozen=True)
class EpisodeConfig:
    """Number and length of the episodes, and their folder."""

    records: str = option("records", "folder to record to")
    max_trials: int = option(200, "episodes, of all processes together", low=1, high=EPISODES_A_SEED)
    max_frames: int = option(150, "steps of an episode at most", low=1, high=MAX_FRAMES)
    min_frames: int = option(
        50, f"shorter episodes are recorded again, up to {ATTEMPTS} times, and the longest is kept", low=1
    )
    policies: tuple[str, ...] = option(DEFAULT_MIX, "behaviour policies and their weights: name=weight")
    seed: int = option(
        0,
        "seed of all episodes; episodes of other seeds may be in the same folder",
        low=0,
        high=MAX_SEED // EPISODES_A_SEED - 1,
    )

    def __post_init__(self) -> None:
        check(self)
        parse_mix(self.policies, self.known_policies)

    @property
    def known_policies(self) -> Collection[str]:
        """Names of behaviour policies."""
        return POLICIES

    @property
    def frames(self) -> int:
        """Steps after which an episode is cut."""
        return self.max_frames

    @property
    def enough(self) -> int:
        """Steps from which an episode is not recorded again; one that is cut is long enough."""
        return min(self.min_frames, self.frames)

    @property
    def recorded(self) -> dict[str, Any]:
        """The settings that shape an episode, as its file has them."""
        return {
            **{name: value for name, value in to_dict(self).items() if name not in UNIMPORTANT},
            "policies": list(self.policies),
            "frames": self.frames,
        }


@dataclasses.dataclass(frozen=True)
class RecorderConfig(EpisodeConfig):
    """What is recorded in Duckietown, and where to."""

    road: RoadConfig = part(RoadConfig)
    variation: VariationConfig = part(VariationConfig)
    maps: tuple[str, ...] = option(
        (),
        "several maps, in turn; generated:200 are the first 200 generated ones, generated:200-299 the next "
        "100; by default the one of --map-name",
    )
    full_episode: bool = option(False, f"episodes of up to {MAX_EPISODE_STEPS} steps")
    any_start: float = option(
        0.5, "share of episodes that start anywhere on the lane, at any angle", low=0.0, high=1.0
    )
    batch: int = option(
        0, f"cars that drive at once; 0: {BATCH}, or {BATCH_UPSTREAM} with gym-duckietown", low=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        expand_map_names(self.maps)
        if self.road.simulation.frame_shape != FRAME_SHAPE:
            raise ConfigError("camera_width, camera_height: recordings are 64 x 64")

    @property
    def map_names(self) -> tuple[str, ...]:
        """The maps that episodes take in turn."""
        return expand_map_names(self.maps) or (self.road.simulation.map_name,)

    @property
    def cars(self) -> int:
        """Cars that drive at once."""
        return self.batch or (BATCH if self.road.simulator == "native" else BATCH_UPSTREAM)

    @property
    def frames(self) -> int:
        """Steps after which an episode is cut."""
        return MAX_EPISODE_STEPS if self.full_episode else self.max_frames

    @property
    def recorded(self) -> dict[str, Any]:
        """See `EpisodeConfig`; those that are newer than older files stand there only where they count."""
        values = {
            name: value
            for name, value in super().recorded.items()
            if not (name in UNWRITTEN and value == UNWRITTEN[name])
        }
        return {**values, "maps": list(canonical_map_names(self.maps) or self.map_names)}

    def road_on(self, map_name: str) -> RoadConfig:
        """The settings of the road for one map."""
        return replace(self.road, map_name=map_name)


def episode_seed(config: EpisodeConfig, episode: int) -> int:
    """The number that names an episode's file."""
    return config.seed * EPISODES_A_SEED + episode


def variation_of(config: RecorderConfig, episode: int) -> Variation:
    """The randomizations of an episode."""
    looks, lens, dynamics = generator(config.seed, VARIATION, episode).random(3)
    shares, road = config.variation, config.road.simulation
    return Variation(
        domain_rand=road.domain_rand or bool(looks < shares.domain_rand_share),
        distortion=road.distortion or bool(lens < shares.distortion_share),
        dynamics_rand=road.dynamics_rand or bool(dynamics < shares.dynamics_rand_share),
    )


def environment_of(config: RecorderConfig) -> dict[str, Any]:
    """The description of the environment; where only some episodes have distortion, both kinds fit."""
    found = describe(config.road)
    if config.variation.distortion_share and not config.road.simulation.distortion:
        del found["distortion"]
    return found


def path_of(config: EpisodeConfig, episode: int) -> Path:
    """Where an episode is kept."""
    return Path(config.records) / f"{episode_seed(config, episode)}.npz"


def share(config: EpisodeConfig, worker: int, workers: int) -> range:
    """The episodes that one of several processes records: consecutive ones, on every map."""
    return range(config.max_trials * worker // workers, config.max_trials * (worker + 1) // workers)


def missing(config: EpisodeConfig, episodes: Sequence[int]) -> list[int]:
    """The episodes that are not yet recorded; a damaged file is logged and counts as missing.

    A folder in an episode's place, or a whole episode of another program, is logged and left.

    Raises:
        ConfigError: an episode was recorded with other settings.
    """
    found = []
    for episode in episodes:
        path = path_of(config, episode)
        if path.is_dir() and not path.is_symlink():
            log.warning("%s: a folder has the name of episode %d, which is skipped", path, episode)
        elif not path.exists() or not _recorded(config, path):
            found.append(episode)
    return found


def _recorded(config: EpisodeConfig, path: Path) -> bool:
    """Whether a file is a whole episode.

    Raises:
        ConfigError: it was recorded with other settings.
    """
    try:
        made = read_episode(path).meta.get("recorder")
    except RecordError as err:
        log.warning("%s; it is recorded again", err)
        return False
    if not isinstance(made, dict):
        log.warning("%s: not recorded by dreamduck; it is kept, and its episode is skipped", path)
    elif {**OLDER, **made} != {**OLDER, **config.recorded}:
        raise ConfigError(
            f"{path}: recorded with other settings; expected {config.recorded}, got {made}; "
            "choose another --records folder or another --seed"
        )
    return True
