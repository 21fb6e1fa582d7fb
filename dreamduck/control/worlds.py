"""The three worlds as places to judge controllers in, built from settings.

Flow: dream, simulator, memory -> [worlds] -> search, gap, ablations, scoreboard. The name of a world
is the original's: "rnnenv" is the dream, "realenv" the simulator seen through the world model, and
"env" the simulator with frames alone, where a controller looks through the world model as well."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamduck import __version__
from dreamduck.config import check, option, to_dict
from dreamduck.control.controllers import FEATURES, ControllerForm
from dreamduck.control.evaluate import DreamJudge, Judge, RoadJudge
from dreamduck.dream import TEMPERATURE, no_heads
from dreamduck.errors import WeightsError
from dreamduck.pretrained import FOLDER
from dreamduck.simulator.environment import ANY_WEIGHTS, FRAMES, check_environment
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.storage import fingerprint
from dreamduck.threads import cores

ENVS = ("rnnenv", "realenv", "env")
# Of ours; of the original's form where those are missing.
WEIGHT_FILES = ("vae.weights.h5", "rnn.weights.h5", "initial_z.json")
LEGACY_FILES = ("vae.json", "rnn.json")


@dataclasses.dataclass(frozen=True)
class WorldConfig(RoadConfig):
    """A world's settings: the road's, the model's, and how the dream is dreamt."""

    weights: str = option("", "folder of the world model; the one that ships by default", flags=("-w",))
    temperature: float = option(TEMPERATURE, "uncertainty of the dream", above=0.0, flags=("--temp",))
    any_weights: bool = option(False, ANY_WEIGHTS)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)

    @property
    def folder(self) -> Path:
        """Where the weights lie."""
        return Path(self.weights) if self.weights else FOLDER


@dataclasses.dataclass(frozen=True)
class FormConfig:
    """What a controller looks at."""

    features: str = option("z", "what the controller sees of [z, c, h]", choices=FEATURES)
    hidden: int = option(0, "units of its hidden layer; 0 for a linear one", low=0)

    def __post_init__(self) -> None:
        check(self)

    def form(self, z_size: int, hidden_size: int) -> ControllerForm:
        """The form for a world model of these sizes."""
        return ControllerForm(self.features, self.hidden, z_size=z_size, hidden_size=hidden_size)


def model_sizes(folder: Path) -> tuple[int, int]:
    """(Z, H) of the world model in a folder, from its card alone.

    Raises:
        WeightsError: the card is missing or damaged.
    """
    from dreamduck import memory

    config = memory.read_config(folder)
    return config.z_size, config.hidden_size


def make_judge(
    env: str,
    config: WorldConfig,
    form: ControllerForm,
    threads: int | None = None,
    beginning: str = "first",
) -> Judge:
    """A world to try controllers in.

    Args:
        env: one of `ENVS`.
        threads: cores to use; all by default.
        beginning: of dreams, see `memory.load_initial`.
    """
    if env == "rnnenv":
        return DreamJudge(make_dream(config, beginning), form, config.temperature)
    native = config.simulator == "native"
    # Each car of gym-duckietown is a process of 336 MB.
    most_cars = None if native else threads or cores()
    return RoadJudge(road_maker(config, threads), perception_maker(config), form, most_cars)


def road_maker(config: RoadConfig, threads: int | None = None) -> Callable[[int], Road]:
    """A function that builds a road for so many cars."""
    plain = RoadConfig(**{f.name: getattr(config, f.name) for f in dataclasses.fields(RoadConfig)})
    settings = {"threads": threads} if config.simulator == "native" and threads else {}
    return lambda cars: Road(plain, cars, **settings)


def make_dream(config: WorldConfig, beginning: str = "first", rewards: bool = True) -> Any:
    """The dream of a folder's world model.

    Args:
        rewards: whether its rewards and ends are needed.

    Raises:
        ConfigError: it learned from other settings. WeightsError: its dream has no rewards, or no ends.
    """
    from dreamduck.dream import load_dream

    dream = load_dream(config.folder, beginning)
    check_environment(dream.memory.card, config, str(config.folder), config.any_weights)
    if rewards and dream.memory.lacks:
        raise WeightsError(f"{config.folder}: {no_heads(dream.memory)}")
    return dream


def perception_maker(config: WorldConfig) -> Any:
    """A function that builds the perception of so many cars; the models are loaded once.

    Raises:
        ConfigError: they learned from other settings.
    """
    from dreamduck import memory, vision
    from dreamduck.dream.perception import Perception

    eye, mind = vision.load(config.folder), memory.load(config.folder)
    check_environment(mind.card, config, str(config.folder), config.any_weights)
    check_environment(eye.card, config, str(config.folder), config.any_weights, only=FRAMES)
    return lambda cars: Perception(eye, mind, cars)


def world_facts(env: str, config: WorldConfig) -> dict[str, Any]:
    """What a card says of the world: its settings, the model's fingerprints, the versions."""
    settings = to_dict(config)
    for name in ("weights", "any_weights"):
        settings.pop(name)
    if env != "rnnenv":
        settings.pop("temperature")
    return {
        "world": {"env": env, **settings},
        "weights": weights_fingerprints(config.folder),
        "versions": versions(),
    }


def weights_fingerprints(folder: Path) -> dict[str, str]:
    """The fingerprint of each file of a world model."""
    names = WEIGHT_FILES if (folder / "rnn.weights.h5").exists() else (*WEIGHT_FILES, *LEGACY_FILES)
    return {name: fingerprint(folder / name) for name in names if (folder / name).exists()}


def versions() -> dict[str, str]:
    """The versions of what results depend on."""
    found = {"dreamduck": __version__, "python": platform.python_version()}
    for name in ("numpy", "tensorflow-cpu", "tensorflow", "keras", "cma", "numba"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
