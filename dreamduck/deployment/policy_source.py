"""What is deployed: a controller of CMA-ES or an agent of Stable-Baselines3, with its world model.

A policy and a world model that do not fit together are refused here, before they reach a robot."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamduck.common.config import from_mapping
from dreamduck.common.errors import ConfigError, PolicyError
from dreamduck.common.readers import PathLike, fingerprint
from dreamduck.controllers.controller_file import read_card
from dreamduck.controllers.factory import check_model, load_controller, weights_fingerprints
from dreamduck.controllers.policy import Controller
from dreamduck.pretrained import FOLDER
from dreamduck.registration import agents
from dreamduck.simulator.environment import ENVIRONMENT, SETTINGS, describe
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.mdn_rnn import MDNRNN

if TYPE_CHECKING:
    from dreamduck.rl.agents.acting import AgentPolicy

OWN_ENVIRONMENT = "DreamDuck-v0"  # as the cards of recordings and weights name the car on the road
CARD_FACTS = ("command", "world", "search", "generations", "world_steps", "best_evaluation", "versions")


@dataclasses.dataclass(frozen=True)
class PolicySource:
    """A policy and what it needs.

    Attributes:
        path: its file.
        policy: a controller, or an agent.
        model: of the world, through which it sees; None where it sees frames.
        environment: what a step means, see `simulator.environment.describe`.
        facts: what is known of its training, for JSON.
    """

    path: Path
    policy: Controller | AgentPolicy
    model: WorldModel | None
    environment: dict[str, Any]
    facts: dict[str, Any]

    @property
    def recurrent(self) -> bool:
        """Whether the policy needs the state of the dynamics."""
        if self.model is None:
            return False
        sees_z = isinstance(self.policy, Controller) and self.policy.form.features == "z"
        # Categorical dynamics smooth the latents that a policy sees.
        return not sees_z or isinstance(self.model.dynamics, CategoricalDynamics)

    @property
    def state_size(self) -> int:
        """Numbers in the state: those of h and c, or none."""
        if self.model is None or not self.recurrent:
            return 0
        return self.model.sizes.hidden_size + self.model.sizes.cell_size

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) of the frames that it learned from."""
        height, width, _ = self.environment["camera"]
        return height, width

    def fingerprints(self) -> dict[str, str]:
        """Of the policy's file and of its world model's, by name."""
        model = {} if self.model is None else weights_fingerprints(self.model.folder)
        return {self.path.name: fingerprint(self.path), **model}


def read_source(path: PathLike, weights: str = "") -> PolicySource:
    """A policy's file with its world model.

    Args:
        path: a controller of `dreamduck evolve`, or an agent of `dreamduck rl`.
        weights: folder of the world model; the one that ships, or the agent's own, by default.
    Raises:
        ControllerError: a controller that is damaged, or that does not fit the world model.
        CheckpointError: an agent that is damaged, or that does not fit the world model.
        WeightsError: the world model is missing or damaged.
        PolicyError: of another environment, or of a form that cannot be deployed.
    """
    path = Path(path)
    if path.is_dir():
        raise PolicyError(f"{path}: expected a controller's or an agent's file, got a folder")
    if zipfile.is_zipfile(path) or (not path.exists() and path.with_name(f"{path.name}.zip").exists()):
        return _agent(path, weights)
    folder = Path(weights) if weights else FOLDER
    controller = load_controller(path, folder, strict=True)
    model, card = WorldModel.load(folder), read_card(path)
    check_own_car(model)
    facts = {"kind": "controller", "form": str(controller.form)}
    facts |= {name: card[name] for name in CARD_FACTS if name in card}
    environment = _environment(model, card.get("world"))
    return PolicySource(path, controller, model, environment, facts)


def _agent(path: Path, weights: str) -> PolicySource:
    from dreamduck.deployment.agent_graph import check_agent
    from dreamduck.rl.agents.agent_file import locate, model_folder

    path = locate(path)
    agent: AgentPolicy = agents().AgentPolicy(path)
    check_agent(agent, str(path))
    info = agent.about
    facts = {"kind": "agent", "environment": info.env_id, "network": info.network, "steps": info.steps}
    facts["seconds"] = info.seconds
    if info.sees_frames:
        if weights:
            raise ConfigError(f"weights: of no effect for {path}, which sees frames; leave it out")
        environment = describe(_road(info.env_kwargs))
        environment["camera"] = list(info.shape)
        return PolicySource(path, agent, None, environment, facts)
    model = WorldModel.load(weights or model_folder(info.env_kwargs))
    check_model(path, info.weights, model.folder, strict=True)
    sizes = model.sizes
    expected = sizes.z_size + sizes.policy_cell_size + sizes.hidden_size
    if info.shape != (expected,):
        raise PolicyError(
            f"{path}: learned from {info.shape[0]} numbers [z, c, h], and the world model in "
            f"{model.folder} makes {expected}; name the folder of its own with --weights"
        )
    check_own_car(model)
    return PolicySource(path, agent, model, _environment(model, info.env_kwargs), facts)


def check_own_car(model: WorldModel) -> None:
    """Refuse a world model of another environment, or of a kind that the graph does not know.

    Args:
        model: of the world.
    Raises:
        PolicyError: it cannot be deployed.
    """
    name = model.vae.card.get(ENVIRONMENT, {}).get("id", OWN_ENVIRONMENT)
    dynamics = model.dynamics
    name = dynamics.card.get(ENVIRONMENT, {}).get("id", name)
    if dynamics.config.action_size != 2:
        name = f"another one, of {dynamics.config.action_size} actions"
    elif not isinstance(dynamics, MDNRNN | CategoricalDynamics):
        raise PolicyError(f"{model.folder}: dynamics of the kind {dynamics.kind!r} cannot be deployed")
    if name != OWN_ENVIRONMENT:
        raise PolicyError(
            f"{model.folder}: expected a world model of {OWN_ENVIRONMENT}, whose actions drive two wheels, "
            f"got one of {name}; choose another controller, and its weights with --weights"
        )


def _environment(model: WorldModel, settings: Any) -> dict[str, Any]:
    """What a step means: as the world model's card says, or else the policy's own."""
    card = model.dynamics.card.get(ENVIRONMENT) or model.vae.card.get(ENVIRONMENT)
    if isinstance(card, Mapping) and all(name in card for name in SETTINGS):
        return describe(_road(card))
    return describe(_road(settings if isinstance(settings, Mapping) else {}))


def _road(settings: Mapping[str, Any]) -> RoadConfig:
    return from_mapping(RoadConfig, {name: settings[name] for name in SETTINGS if name in settings})
