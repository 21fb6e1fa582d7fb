"""The episodes that a card measures with: recorded for it by the native simulator, or a folder of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.command_line import progress
from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.common.seeding import derive, generator
from dreamduck.evaluation.model_card.config import MIN_EPISODES, ModelCardConfig
from dreamduck.evaluation.model_card.driving.maps_here import maps_here, spread
from dreamduck.recordings import Episode, Recordings, find_recordings, held_out, read_episode
from dreamduck.recordings.gym_source import BATCH, GymRecorderConfig, GymSource
from dreamduck.recordings.plan import RecorderConfig
from dreamduck.recordings.recorder import MapRecorder, Recorder
from dreamduck.recordings.sources.gym_environment import GymEnvironment
from dreamduck.simulator.environment import SETTINGS, differences, of_recording
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.vae.frame_stream import data_fingerprint

ENVIRONMENT_ID = "DreamDuck-v0"
UNSEEN_MAPS = ("udem1", "small_loop", "robotarium2", "loop_dyn_duckiebots")  # the first two that are unseen
DEFAULT_MAPS = ("loop_empty",)  # where a model's card names none
FIRST_SEED = 1_000_000  # of the card's recordings; far above those that models learn from
KEY = 0x6461
PROBE_SHARE = 0.6  # of recordings that no model learned from


class Recorded(NamedTuple):
    """Episodes before a VAE has looked at them, so that several models share them; see `RealData`."""

    train: list[Episode]
    held_out: list[Episode]
    unseen: list[Episode]
    environment: dict[str, Any]
    source: dict[str, Any]


def collect(models: Sequence[WorldModel], config: ModelCardConfig) -> Recorded:
    """The episodes to evaluate these models on, the same for all of them.

    Args:
        models: the first one's environment and maps count; unseen maps are unseen by all.
        config: `records` is their folder; without it they are recorded.
    Raises:
        ConfigError: the models are of an environment that the card cannot record, or of different ones.
        RecordError: too few recordings, or of another environment than the models'.
        WeightsError: a model's card is damaged.
    """
    card, gym = models[0].card, models[0].gym_environment
    if gym is None and card.sizes.action_size != 2:
        raise ConfigError(
            f"weights: {models[0].folder}: expected a model of [throttle, steering], or one whose card "
            f"names its environment, got one of {card.sizes.action_size} actions; train it again"
        )
    for other in models[1:]:
        wrong = differences(card.environment, other.card.environment)
        if wrong:
            raise ConfigError(
                f"weights: {other.folder}: of another environment than {models[0].folder} "
                f"({'; '.join(wrong)}); compare models of one environment"
            )
    known = sorted({name for model in models for name in maps_of(model)})
    if config.records:
        return _read(models, known, config)
    if gym is not None:
        return _record_gym(gym, card.environment, config)
    return _record(card.environment, maps_of(models[0]), known, config)


def maps_of(model: WorldModel) -> tuple[str, ...]:
    """The maps that a model's VAE learned from, as its card names them."""
    return tuple(sorted(model.vae.card.get("data", {}).get("map_name", {})))


def road_config(environment: dict[str, Any], map_name: str) -> RoadConfig:
    """The settings of a native road on which a step means what it meant to the model."""
    return replace(
        RoadConfig(),
        map_name=map_name,
        **{name: environment[name] for name in SETTINGS if name in environment},
    )


def _record(
    environment: dict[str, Any], seen: Sequence[str], known: Sequence[str], config: ModelCardConfig
) -> Recorded:
    """Record episodes with the native simulator."""
    if environment.get("id", ENVIRONMENT_ID) != ENVIRONMENT_ID:
        raise ConfigError(
            f"records: expected a folder of recordings, as the model is of {environment['id']}, which the "
            "card cannot record; give --records"
        )
    sizes = config.sizes
    maps = spread(maps_here(seen)) or DEFAULT_MAPS
    unseen_maps = tuple(name for name in maps_here(UNSEEN_MAPS) if name not in known)[:2]
    first = sizes.train_episodes
    counts = {maps: first + sizes.held_out_episodes, unseen_maps: sizes.unseen_episodes}
    made = [
        _drive(
            RecorderConfig(
                road=road_config(environment, maps[0]),
                maps=names,
                seed=FIRST_SEED + derive(config.seed, KEY),
                max_trials=count,
                max_frames=sizes.episode_steps,
            )
        )
        for names, count in counts.items()
        if names
    ]
    train, kept, unseen = made[0][:first], made[0][first:], made[1] if unseen_maps else []
    source = {"recorded": True, "maps": list(maps), "unseen_maps": list(unseen_maps)}
    described = _described((train, kept, unseen))
    return Recorded(train, kept, unseen, environment, {**source, **described})


def _record_gym(gym: GymEnvironment, environment: dict[str, Any], config: ModelCardConfig) -> Recorded:
    """Record episodes of a Gymnasium environment, by random policies."""
    sizes = config.sizes
    count = sizes.train_episodes + sizes.held_out_episodes
    settings = GymRecorderConfig(
        environment=gym,
        seed=FIRST_SEED + derive(config.seed, KEY),
        max_trials=count,
        max_frames=sizes.episode_steps,
    )
    recorder = Recorder(GymSource(settings, min(BATCH, count)), settings)
    try:
        made = dict(progress(recorder.run(range(count)), total=count, desc="recording", unit="episode"))
    finally:
        recorder.close()
    episodes = [made[episode] for episode in range(count)]
    train, kept = episodes[: sizes.train_episodes], episodes[sizes.train_episodes :]
    described = _described((train, kept, []))
    return Recorded(train, kept, [], environment, {"recorded": True, "maps": [gym.id], **described})


def _drive(settings: RecorderConfig) -> list[Episode]:
    """Record without writing files."""
    made: dict[int, Episode] = {}
    names = settings.map_names
    for number, name in enumerate(progress(names, desc="recording", unit="map")):
        here = range(number, settings.max_trials, len(names))
        if here:
            recorder = MapRecorder(settings, name, min(settings.cars, len(here)))
            try:
                made |= dict(recorder.run(here))
            finally:
                recorder.close()
    return [made[episode] for episode in range(settings.max_trials)]


def _read(models: Sequence[WorldModel], known: Sequence[str], config: ModelCardConfig) -> Recorded:
    """Read recordings, and split them."""
    recordings = find_recordings(config.records)
    mark = data_fingerprint(recordings)  # in the card of the VAE, and in that of the dynamics
    learned = any(mark in str(model.card.data) for model in models)
    chosen = _choose(recordings, held_out(recordings.seeds) if learned else None, known, config)
    environment = dict(models[0].card.environment)
    train, kept, unseen = (
        [_read_one(recordings.paths[place], environment) for place in group] for group in chosen
    )
    if min(len(train), len(kept)) < MIN_EPISODES // 2:
        raise RecordError(
            f"{config.records}: expected at least {MIN_EPISODES} episodes, some to fit the probes and "
            f"some to measure on, got {len(recordings.paths)} ({len(kept)} to measure on); record more"
        )
    source = {"recorded": False, "learned_from": learned}
    described = _described((train, kept, unseen))
    return Recorded(train, kept, unseen, environment, {**source, **described})


def _choose(
    recordings: Recordings, out: npt.NDArray[np.bool_] | None, known: Sequence[str], config: ModelCardConfig
) -> tuple[list[int], list[int], list[int]]:
    """The places of the episodes for the probes, to measure on, and of unseen maps.

    Args:
        recordings: all of them.
        out: (E,) which the models did not learn from; None where they learned from none.
        known: the maps that the models learned from.
        config: the sizes.
    """
    sizes = config.sizes
    order = generator(config.seed, KEY, len(recordings.paths)).permutation(len(recordings.paths)).tolist()
    if out is not None:
        pools = [place for place in order if not out[place]], [place for place in order if out[place]]
        return pools[0][: sizes.train_episodes], pools[1][: sizes.held_out_episodes], []
    order = order[: 2 * (sizes.train_episodes + sizes.held_out_episodes + sizes.unseen_episodes)]
    maps = {place: map_of(read_episode(recordings.paths[place], frames=False)) for place in order}
    seen = [place for place in order if maps[place] in known] or order
    unseen = [place for place in order if place not in set(seen)]
    first = min(sizes.train_episodes, round(PROBE_SHARE * len(seen)))
    return seen[:first], seen[first:][: sizes.held_out_episodes], unseen[: sizes.unseen_episodes]


def _read_one(path: Path, environment: dict[str, Any]) -> Episode:
    """Read a recording of the model's environment.

    Raises:
        RecordError: it is damaged, or of another environment.
    """
    episode = read_episode(path)
    found = of_recording(episode.meta)
    wrong = differences(environment, found) if found and environment else []
    if wrong:
        raise RecordError(
            f"{path}: recorded in another environment than the model's ({'; '.join(wrong)}); "
            "give recordings of the model's environment"
        )
    return episode


def _described(groups: Sequence[Sequence[Episode]]) -> dict[str, Any]:
    """How many episodes there are of each kind, and a fingerprint of them all."""
    digest = hashlib.sha256()
    for episode in (one for group in groups for one in group):
        for array in (episode.obs, episode.action, episode.reward):
            digest.update(np.ascontiguousarray(array).tobytes())
    names = ("train_episodes", "held_out_episodes", "unseen_episodes")
    counts = dict(zip(names, map(len, groups), strict=True))
    steps = sum(len(episode) for group in groups for episode in group)
    return {**counts, "steps": steps, "fingerprint": digest.hexdigest()[:16]}


def map_of(episode: Episode) -> str:
    """The name of the map that an episode was recorded on; "" where it is not known."""
    return str(episode.meta.get("map_name", ""))
