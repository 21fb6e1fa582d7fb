"""The card itself: all sections of one model, and the file that holds them."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dreamduck
from dreamduck.common import config as configuration
from dreamduck.common.command_line import progress
from dreamduck.common.errors import ConfigError, MapError
from dreamduck.common.storage import read_json, write_json
from dreamduck.evaluation.model_card.config import VERSION, ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.evaluation.model_card.probes.probe import Probes, fit_probes, probe
from dreamduck.evaluation.model_card.sections.calibration import calibration
from dreamduck.evaluation.model_card.sections.cost import cost
from dreamduck.evaluation.model_card.sections.distribution import distribution
from dreamduck.evaluation.model_card.sections.explanation import explanation
from dreamduck.evaluation.model_card.sections.horizon import horizon
from dreamduck.evaluation.model_card.sections.images import images
from dreamduck.evaluation.model_card.sections.ranking import rank, run_policies
from dreamduck.evaluation.model_card.sections.steering import steering
from dreamduck.evaluation.model_card.sections.stillness import stillness
from dreamduck.evaluation.model_card.sections.survival import survival
from dreamduck.evaluation.model_card.sections.uncertainty import uncertainty
from dreamduck.simulator.environment import is_own

log = logging.getLogger(__name__)

FILE = "model.json"
MAKE = "make it again with dreamduck evaluate-model"
PLACES = ("weights", "records", "out", "compare")  # settings that no figure depends on by name
LIBRARIES = ("numpy", "numba", "tensorflow", "keras")
Section = Callable[[Dreams, RealData, Probes | None, ModelCardConfig], dict[str, Any]]


def policies(
    dreams: Dreams, data: RealData, probes: Probes | None, config: ModelCardConfig
) -> dict[str, Any]:
    """Ranking and survival of all policies, which drive once for both.

    Args:
        dreams: of the world model.
        data: holds the environment and its maps.
        probes: unused.
        config: the card's settings.
    """
    try:
        driven = run_policies(dreams, data, config)
    except (ConfigError, MapError) as err:
        left_out = {"left_out": str(err)}
        return {"ranking": left_out, "survival": left_out}
    return {"ranking": rank(driven, config.seed), "survival": survival(driven, config.seed)}


# name: what makes the section; `policies` makes two
SECTIONS: Mapping[str, Section] = {
    "images": images,
    "probe": probe,
    "horizon": horizon,
    "distribution": distribution,
    "steering": steering,
    "stillness": stillness,
    "policies": policies,
    "calibration": calibration,
    "uncertainty": uncertainty,
    "cost": cost,
}


# Sections that need Duckietown's simulator or its telemetry, and the parts of the card that they make.
ROAD_SECTIONS = {
    **{name: (name,) for name in ("distribution", "steering", "stillness")},
    "policies": ("ranking", "survival"),
}
NO_ROAD = "it needs Duckietown's simulator, and the model is of another environment"


def make_card(dreams: Dreams, data: RealData, config: ModelCardConfig) -> dict[str, Any]:
    """All sections; the same for the same seed, bit for bit.

    Args:
        dreams: of the world model.
        data: the real episodes, as the model sees them.
        config: the card's settings.
    """
    card: dict[str, Any] = {"made_with": made_with(dreams, data, config)}
    begun = time.perf_counter()
    probes = fit_probes(dreams, data, config)
    log.info("probes: %.0f s", time.perf_counter() - begun)
    sections = dict(SECTIONS)
    if data.held_out.telemetry is None:  # which all others but the end's calibration need
        sections["explanation"] = explanation
    for name, section in progress(sections.items(), desc="card", unit="section"):
        begun = time.perf_counter()
        if name in ROAD_SECTIONS and not is_own(data.environment.get("id")):
            card |= {part: {"left_out": NO_ROAD} for part in ROAD_SECTIONS[name]}
            continue
        found = section(dreams, data, probes, config)
        card |= found if name == "policies" else {name: found}
        log.info("%s: %.0f s", name, time.perf_counter() - begun)
    return card


def made_with(dreams: Dreams, data: RealData, config: ModelCardConfig) -> dict[str, Any]:
    """The settings, fingerprints and versions that the figures depend on.

    Args:
        dreams: of the world model.
        data: the real episodes.
        config: the card's settings.
    """
    settings = {**configuration.to_dict(config), "temperature": dreams.temperature}
    return {
        "version": VERSION,
        "fingerprints": dict(dreams.model.card.fingerprints),
        "settings": {name: value for name, value in settings.items() if name not in PLACES},
        "sizes": config.sizes._asdict(),
        "data": data.source,
        "environment": data.environment,
        "commit": commit(),
        "versions": {
            "dreamduck": dreamduck.__version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in LIBRARIES},
        },
    }


def commit() -> str | None:
    """The commit of the source that runs; None where it is no checkout."""
    folder = Path(dreamduck.__file__).parent
    words = ["git", "-C", str(folder), "log", "-1", "--format=%H", "--", str(folder)]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def read_card(folder: Path) -> dict[str, Any]:
    """The card in a folder.

    Raises:
        ConfigError: there is none, or it is damaged or of another version.
    """
    path = folder / FILE
    card = read_json(path, ConfigError)
    version = card.get("made_with", {}).get("version") if isinstance(card, dict) else None
    if version != VERSION:
        raise ConfigError(f"{path}: expected a card of version {VERSION}, got {version}; {MAKE}")
    found: dict[str, Any] = card
    return found


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write the card into a folder."""
    write_json(folder / FILE, card)


def _version(name: str) -> str | None:
    for package in (name, f"{name}-cpu"):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
