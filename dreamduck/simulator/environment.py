"""The description of an environment: the settings that a world model learns from, and must be used with.

Recordings carry the description to the cards of the weights. The map, the simulator, domain
randomisation and random dynamics are no part of it: a model may meet others than it learned from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from dreamduck.common.config import from_mapping, to_dict
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.simulator.road import RoadConfig

log = logging.getLogger(__name__)

ENVIRONMENT = "environment"  # the key, in recordings, series and cards
OWN = "DreamDuck-v0"  # the id of Duckietown in it
STEP_TIME = 0.1  # [s], where a description has none
SETTINGS = ("frame_skip", "steering_gain", "distortion", "reward")
FRAMES = ("distortion", "camera")  # all that a VAE knows of
IMAGE_SETTINGS = ("id", "pixels", "crop")  # what images of any environment are of
ROAD_STEPS = ("id", "frame_skip", "steering_gain")  # what steps of Duckietown are of
STEP_SETTINGS = (*IMAGE_SETTINGS, "arguments", "frame_skip", "action_space")  # what its steps are of
ANY_WEIGHTS = "accept weights that were trained with other settings than these"
_warned: set[str] = set()


def describe(config: RoadConfig) -> dict[str, Any]:
    """The description of the environment that these settings make, for JSON."""
    settings = to_dict(config)
    return {
        "id": OWN,
        **{name: settings[name] for name in SETTINGS},
        "step_time": config.step_time,
        "camera": list(config.simulation.frame_shape),
        "action_space": {"low": [-1.0, -1.0], "high": [1.0, 1.0]},
    }


def is_own(name: object) -> bool:
    """Whether an id is of one of the package's own environments; so is none at all, as in older cards."""
    return name is None or str(name).startswith("DreamDuck-")


def of_recording(meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """The description in a recording's meta; of older ones, that of their other settings; else None."""
    description = meta.get(ENVIRONMENT)
    if isinstance(description, dict):
        return description
    settings = meta.get("recorder") or meta.get("world")
    if not isinstance(settings, dict) or not all(name in settings for name in SETTINGS):
        return None
    try:
        return describe(from_mapping(RoadConfig, {name: settings[name] for name in SETTINGS}))
    except ConfigError:
        return None


def one_environment(
    known: tuple[str, dict[str, Any]] | None, name: str, meta: Mapping[str, Any]
) -> tuple[str, dict[str, Any]] | None:
    """Hold recordings together, one after the other: all that have a description must have the same.

    Args:
        known: a recording's name and its description, or None: none had one yet.
        name: of the next recording.
        meta: likewise.
    Returns:
        What is known now.
    Raises:
        RecordError: the two differ; a step does not mean the same in both.
    """
    found = of_recording(meta)
    if found is None or known is None:
        return known if found is None else (name, found)
    wrong = differences(known[1], found)
    if wrong:
        raise RecordError(
            f"{name}: recorded with other settings than {known[0]} ({'; '.join(wrong)}); keep the "
            "recordings of each environment in a folder of its own"
        )
    return known


def shared(descriptions: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """The entries that all descriptions share; empty where there is none."""
    found: dict[str, Any] | None = None
    for one in descriptions:
        if one is not None:
            agreed = one if found is None else found
            found = {key: value for key, value in agreed.items() if key in one and _same(value, one[key])}
    return found or {}


def differences(
    learned: Mapping[str, Any], given: Mapping[str, Any], only: Iterable[str] = ()
) -> list[str]:
    """The differences of two descriptions, a few words each.

    Args:
        learned: what is expected.
        given: what there is.
        only: compare these keys alone.
    """
    keys = [key for key in (only or given) if key in learned and key in given and key != "step_time"]
    return [
        f"{key}: expected {_shown(learned[key])}, got {_shown(given[key])}"
        for key in keys
        if not _same(learned[key], given[key])
    ]


def check_own(learned: Mapping[str, Any], source: str) -> None:
    """Refuse weights of another environment than Duckietown.

    Args:
        learned: the description of theirs.
        source: where the weights lie.
    Raises:
        ConfigError: they are.
    """
    if not is_own(learned.get("id")):
        raise ConfigError(
            f"{source}: expected weights of Duckietown, got some of {learned['id']}; name another folder"
        )


def check_environment(
    card: Mapping[str, Any],
    config: RoadConfig,
    source: str,
    any_weights: bool = False,
    only: Iterable[str] = (),
) -> None:
    """Refuse settings that a world model was not trained with.

    Args:
        card: of the weights.
        config: the environment that they are used in.
        source: where the weights lie.
        any_weights: accept them nevertheless, but not those of another environment than Duckietown.
        only: compare these keys alone.
    Raises:
        ConfigError: the settings differ; says which, and what to do.
    """
    learned = card.get(ENVIRONMENT)
    if not isinstance(learned, Mapping):
        if source not in _warned:
            _warned.add(source)
            log.warning("%s: the card does not say with which settings the weights were trained", source)
        return
    check_own(learned, source)
    wrong = differences(learned, describe(config), only)
    if wrong and not any_weights:
        raise ConfigError(
            f"{source}: the weights were trained with other settings ({'; '.join(wrong)}); set these, "
            "train other weights, or accept these with --any-weights (in Python any_weights=True)"
        )


def _same(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    if numbers:
        return abs(one - other) <= 1e-6 * max(abs(one), abs(other))
    return bool(one == other)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
