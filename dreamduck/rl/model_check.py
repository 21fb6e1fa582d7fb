"""The world model that an agent learned through: its fingerprints, for the agent's card.

An agent of DreamDuck-v1 or v2 sees [z, c, h], which mean
something else in another world model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamduck.common.storage import PathLike
from dreamduck.controllers.factory import check_model, weights_fingerprints
from dreamduck.pretrained import FOLDER

IDS = ("DreamDuck-v1", "DreamDuck-v2")


def fingerprints(env_id: str, env_kwargs: Mapping[str, Any]) -> dict[str, str]:
    """Those of the world model of an environment; empty where it has none."""
    if env_id.rpartition(":")[2] not in IDS:
        return {}
    return weights_fingerprints(_folder(env_kwargs))


def compare(path: PathLike, card: Mapping[str, Any], env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    """Warn where an agent is about to see through another world model than it learned with."""
    if env_id.rpartition(":")[2] in IDS:
        check_model(path, card.get("weights"), _folder(env_kwargs))


def _folder(env_kwargs: Mapping[str, Any]) -> Path:
    return Path(str(env_kwargs.get("weights") or FOLDER))
