"""The three worlds as evaluators of controllers, built from settings.

The name of a world
is the original's: "rnnenv" is the dream, "realenv" the simulator seen through the world model, and
"env" the simulator with frames alone, where a controller looks through the world model as well."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dreamduck.common import extras
from dreamduck.common.config import check, option, options, part, refuse, to_dict
from dreamduck.common.errors import ControllerError, WeightsError
from dreamduck.common.processes.threads import cores
from dreamduck.common.storage import PathLike, fingerprint
from dreamduck.controllers.controller_file import read_card, read_controller
from dreamduck.controllers.evaluator import DreamEvaluator, Drivable, Evaluator, RoadEvaluator
from dreamduck.controllers.policy import FEATURES, Controller, ControllerForm
from dreamduck.recordings.sources import DRIVING, ActionSpace
from dreamduck.recordings.sources.gym_vector import GymVector
from dreamduck.simulator.environment import ANY_WEIGHTS, SETTINGS, check_environment
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination import no_heads
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.imagination.randomization import RandomizationConfig
from dreamduck.world_model.legacy.experiments import find
from dreamduck.world_model.model_config import ModelConfig

log = logging.getLogger(__name__)

ENVS = ("rnnenv", "realenv", "env")
# Of ours; of the original's form where those are missing.
WEIGHT_FILES = ("vae.weights.h5", "rnn.weights.h5", "initial_z.json")
LEGACY_FILES = ("vae.json", "rnn.json")
# What [z] and [z, c, h] are made by; where dreams begin is no part of it.
VAE_FILES = ("vae.weights.h5", "vae.json")
MODEL_FILES = (*VAE_FILES, "rnn.weights.h5", "rnn.json")
GYM_BATCH = 2  # environments of Gymnasium at least, that step together
ROAD_FIELDS = frozenset(options(RoadConfig))
STRICT = "refuse a controller or an agent that was made with another world model, instead of warning"


@dataclasses.dataclass(frozen=True)
class WorldConfig:
    """A world's settings: the road's, and the world model's."""

    road: RoadConfig = part(RoadConfig)
    model: ModelConfig = part(ModelConfig)
    any_weights: bool = option(False, ANY_WEIGHTS)

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True)
class FormConfig:
    """What a controller looks at."""

    features: str = option("z", "what the controller sees of [z, c, h]", choices=FEATURES)
    hidden: int = option(0, "units of its hidden layer; 0 for a linear one", low=0)

    def __post_init__(self) -> None:
        check(self)

    def form(
        self,
        z_size: int,
        hidden_size: int,
        cell_size: int | None = None,
        actions: ActionSpace = DRIVING,
    ) -> ControllerForm:
        """The form for a world model of these sizes and these actions."""
        return ControllerForm(
            self.features,
            self.hidden,
            actions.size,
            z_size=z_size,
            hidden_size=hidden_size,
            cell_size=cell_size,
            action_kind=actions.kind,
        )


def check_flags(env: str, said: set[str]) -> None:
    """Refuse settings of the road for the dream, and of the dream for the road.

    Args:
        env: one of `ENVS`.
        said: the names of the flags that a command line says.
    Raises:
        ConfigError: names those of no effect.
    """
    if env == "rnnenv":
        refuse(said & ROAD_FIELDS - {*SETTINGS}, "in the dream, where there is no road")
    else:
        dreamt = {"temperature", "pessimism", "action_delay", "latent_shift", "dynamics_spread"}
        refuse(said & dreamt, "on the road, which is not dreamt")


def model_sizes(folder: Path) -> tuple[int, int, int]:
    """(Z, H, C) of the world model in a folder, from its card alone.

    Raises:
        WeightsError: the card is missing or damaged.
    """
    sizes = WorldModel.load(folder).sizes
    return sizes.z_size, sizes.hidden_size, sizes.policy_cell_size


def model_actions(folder: Path) -> ActionSpace:
    """The action space of the world model in a folder, from its card alone.

    Raises:
        WeightsError: the card is missing or damaged, or names none.
    """
    return WorldModel.load(folder).actions


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Add the flag `--strict`, see `check_model`."""
    parser.add_argument("--strict", action="store_true", help=STRICT)


def load_controller(path: PathLike, folder: Path, strict: bool = False) -> Controller:
    """A controller file, for the world model in a folder.

    Args:
        path: the controller.
        folder: of the world model's weights.
        strict: refuse a controller that was made with another model.
    Raises:
        ControllerError: the file is damaged, does not fit the model's sizes, or was made with another.
        WeightsError: there is no world model in the folder.
    """
    controller = read_controller(path, *model_sizes(folder), actions=model_actions(folder))
    names = VAE_FILES if controller.form.features == "z" else MODEL_FILES
    check_model(path, read_card(path).get("weights"), folder, strict, names)
    return controller


def check_model(
    path: PathLike,
    made_with: Any,
    folder: Path,
    strict: bool = False,
    names: tuple[str, ...] = MODEL_FILES,
) -> None:
    """Warn where a controller or an agent was made with another world model than the one in a folder.

    Args:
        path: its file, for the message.
        made_with: the fingerprints in its card; of anything else than a mapping nothing is known.
        folder: of the world model's weights.
        strict: raise instead of warning.
        names: the files that matter to it.
    Raises:
        ControllerError: it was, and `strict` is true.
    """
    if not isinstance(made_with, Mapping):
        return
    found = weights_fingerprints(folder)
    # continued training keeps the meaning of h, for the controllers that there are
    continued = {"rnn.weights.h5": WorldModel.load(folder).continued_from}
    different = [
        f"{name}: expected {made_with[name]}, got {found.get(name, 'no such file')}"
        for name in names
        if name in made_with and made_with[name] not in (found.get(name), continued.get(name))
    ]
    if not different:
        return
    text = (
        f"{path}: made with another world model than the one in {folder} ({'; '.join(different)}); "
        "name the folder of its own with --weights"
    )
    if strict:
        raise ControllerError(text)
    log.warning("warning: %s", text)


def make_evaluator(
    env: str,
    config: WorldConfig,
    form: ControllerForm,
    threads: int | None = None,
    beginning: str = "first",
    pessimism: float = 0.0,
    randomization: RandomizationConfig | None = None,
) -> Evaluator:
    """A world to try controllers in.

    Args:
        env: one of `ENVS`.
        threads: cores to use; all by default.
        beginning: of dreams, see `WorldModel.start_states`.
        pessimism: of dreams, see `Dream.rollout`.
        randomization: likewise.
    """
    if env == "rnnenv":
        if threads and threads < cores():
            limit_tensorflow(threads)
        dream = make_dream(config, beginning)
        return DreamEvaluator(dream, form, config.model.temperature, pessimism, randomization)
    real = real_world(config, threads)
    return RoadEvaluator(real.make_road, real.make_perception, form, real.most_cars, real.roads)


class RealWorld(NamedTuple):
    """What is no dream: Duckietown's simulator, or another environment, and the world model that looks."""

    make_road: Callable[[int], Drivable]  # builds so many cars, or environments
    make_perception: Callable[[int], Any]  # builds the perception of so many
    most_cars: int | None  # of a road; None for any number
    roads: int = 1  # that step at the same time


def real_world(config: WorldConfig, threads: int | None = None) -> RealWorld:
    """The simulator, or the environment that a world model learned from.

    Args:
        config: its settings.
        threads: cores to use; all by default.
    Raises:
        ConfigError: the world model learned with other settings.
    """
    model = WorldModel.load(config.model.folder)
    environment = model.gym_environment
    if environment is None:
        # Each car of gym-duckietown is a process of 336 MB.
        most_cars = None if config.road.simulator == "native" else threads or cores()
        return RealWorld(road_maker(config.road, threads), perception_maker(config), most_cars)
    processes = threads or cores()
    return RealWorld(
        lambda count: GymVector(environment, count, processes),
        lambda count: Perception(model.vae, model.dynamics, count),
        max(processes, GYM_BATCH),
        roads=2 if processes > 1 else 1,
    )


def limit_tensorflow(threads: int) -> None:
    """Give TensorFlow so many cores, unless it has started already."""
    from dreamduck.common.backend import set_threads

    try:
        set_threads(threads)
    except RuntimeError:
        log.debug("TensorFlow has started before; its threads stay as they are")


def road_maker(config: RoadConfig, threads: int | None = None) -> Callable[[int], Road]:
    """A function that builds a road for so many cars."""
    settings = {"threads": threads} if config.simulator == "native" and threads else {}
    return lambda cars: Road(config, cars, **settings)


def make_dream(config: WorldConfig, beginning: str = "first", rewards: bool = True) -> Any:
    """The dream of a folder's world model.

    Args:
        rewards: whether its rewards and ends are needed.

    Raises:
        ConfigError: it learned from other settings.
        WeightsError: its dream has no rewards, or no ends.
    """
    model = WorldModel.load(config.model.folder)
    if model.gym_environment is None:
        check_environment(model.dynamics.card, config.road, str(model.folder), config.any_weights)
    if rewards and model.dynamics.lacks:
        raise WeightsError(f"{model.folder}: {no_heads(model.dynamics)}")
    return model.compiled_dream(beginning)


def perception_maker(config: WorldConfig) -> Callable[[int], Any]:
    """A function that builds the perception of so many cars; the models are loaded once.

    Raises:
        ConfigError: they learned from other settings.
    """
    model = WorldModel.load(config.model.folder)
    model.check_environment(config.road, config.any_weights)
    return lambda cars: Perception(model.vae, model.dynamics, cars)


def world_facts(env: str, config: WorldConfig) -> dict[str, Any]:
    """What a card says of the world: its settings, the model's fingerprints, the versions."""
    folder = config.model.with_temperature() if env == "rnnenv" else config.model
    settings = to_dict(dataclasses.replace(config, model=folder))
    for name in ("weights", "any_weights"):
        settings.pop(name)
    if env != "rnnenv":
        settings.pop("temperature")
    model = WorldModel.load(config.model.folder)
    if model.gym_environment is not None:
        settings = {"temperature": folder.temperature, **model.environment}
    return {
        "world": {"env": env, **settings},
        "weights": weights_fingerprints(config.model.folder),
        "versions": versions(),
    }


def weights_fingerprints(folder: Path) -> dict[str, str]:
    """The fingerprint of each file of a world model."""
    names = WEIGHT_FILES if (folder / "rnn.weights.h5").exists() else (*WEIGHT_FILES, *LEGACY_FILES)
    paths = {name: find(folder, name) for name in names}
    return {name: fingerprint(path) for name, path in paths.items() if path.exists()}


def versions() -> dict[str, str]:
    """The versions of what results depend on."""
    return extras.versions(("numpy", "tensorflow-cpu", "tensorflow", "keras", "cma", "numba"))
