"""Train a controller by PPO, in the dream or in the real environment: `dreamduck train-controller`.

The agent is Stable-Baselines3's, with one layer of tanh units that policy and value share and with
normalized observations. The normalization is folded into the layer, so that its policy is a controller
with a hidden layer: the file is one that every other command takes. The agent is kept beside it, for the
next training to start from. Source: Schulman et al. 2017."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from dreamduck.common import config
from dreamduck.common.errors import ConfigError
from dreamduck.common.processes.threads import cores
from dreamduck.common.storage import claim, fingerprint, read_json, write_json
from dreamduck.controllers.controller_file import AGENT, RunFiles, run_of, to_card
from dreamduck.controllers.evaluator import EvalBatch, RoadEvaluator
from dreamduck.controllers.factory import (
    ENVS,
    WorldConfig,
    load_controller,
    make_evaluator,
    model_actions,
    model_sizes,
    world_facts,
)
from dreamduck.controllers.policy import ControllerForm, Floats
from dreamduck.recordings.sources import ActionSpace
from dreamduck.recordings.sources.action_space import DISCRETE
from dreamduck.rl.arguments import parse
from dreamduck.rl.run import Run
from dreamduck.rl.sb3 import BaseAlgorithm, VecEnv, VecEnvWrapper
from dreamduck.search.ppo import NUM_ENV, WORLDS, PPOConfig
from dreamduck.search.recipe import MAX_SEED, ppo_files
from dreamduck.world_model import WorldModel

log = logging.getLogger(__name__)

LIMIT = 10.0  # of continuous outputs: the tanh of it is 1
SEED = MAX_SEED + 1  # of the episodes that evaluate the controller
# steps of the environments together between two updates
UPDATE = 4096
EVALUATED = {ENVS[0]: 64, ENVS[1]: 16}  # episodes
# Values of the algorithm that are the same for all environments.
VALUES = {
    "nminibatches": 8,
    "noptepochs": 4,
    "target_kl": 0.02,
    "normalize_observations": True,
    "normalize_returns": True,
    "clip_observations": 1e6,  # controllers do not clip
    "clip_range_vf": None,
}


class ControllerOutputs(gym.spaces.Box):
    """Outputs before the tanh; of a name of its own, so that no file of such an agent is taken for one
    whose outputs are actions."""


class ControllerVecEnv(VecEnvWrapper):
    """Environments whose continuous actions are a controller's outputs before the tanh.

    Args:
        venv: N environments.
        actions: their action space, of A numbers.
    """

    def __init__(self, venv: VecEnv, actions: ActionSpace) -> None:
        space = ControllerOutputs(-LIMIT, LIMIT, (actions.size,), np.float32)
        super().__init__(venv, action_space=space)
        self._actions = actions

    def reset(self) -> Any:
        """Reset all environments."""
        return self.venv.reset()

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Begin a step; actions are (N, A)."""
        self.venv.step_async(self._actions.decode(np.tanh(actions)))

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """What the step gave."""
        return self.venv.step_wait()


class ControllerRun(Run):
    """A run of the agent that becomes a controller.

    Args:
        words: its command line.
        actions: of the environment.
    """

    def __init__(self, words: Sequence[str], actions: ActionSpace) -> None:
        flags, keys, _ = parse(words)
        super().__init__(flags, keys, quiet=True)  # no tables; a bar shows the progress
        self._actions = actions

    def _make(self, count: int, how: str, mode: str | None = None) -> VecEnv:
        venv = super()._make(count, how, mode)
        return venv if self._actions.kind == DISCRETE else ControllerVecEnv(venv, self._actions)

    def train(self) -> BaseAlgorithm:
        """The trained agent."""
        self.folder = Path(str(self.flags.log_path))
        return self._train()


def theta_of(agent: BaseAlgorithm) -> Floats:
    """The parameters of a controller with one hidden layer that acts as the agent does at its best guess.

    Args:
        agent: with one layer of tanh units, and normalized observations.
    Returns:
        (n,), see `ControllerForm`.
    """
    state = {name: value.double().numpy() for name, value in agent.policy.state_dict().items()}
    statistics = agent.get_vec_normalize_env()
    assert statistics is not None
    seen: Any = statistics.obs_rms
    mean, variance = seen.mean, seen.var
    (weight,) = (
        name for name in state if name.startswith("features_extractor.") and name.endswith("weight")
    )
    first = state[weight] / np.sqrt(variance + statistics.epsilon)
    bias = state[weight.removesuffix("weight") + "bias"] - first @ mean
    last = state["action_net.weight"]
    parts = bias, first.T.ravel(), state["action_net.bias"], last.T.ravel()
    theta: Floats = np.concatenate(parts).astype(np.float32)
    return theta


def words_of(
    env: str, settings: PPOConfig, world: WorldConfig, files: RunFiles, start: Path | None, resume: bool
) -> list[str]:
    """The command line of the agent's run."""
    model = WorldModel.load(world.model.folder)
    arguments: dict[str, Any] = {"weights": str(world.model.folder)}
    if settings.max_steps:
        arguments["max_episode_steps"] = settings.max_steps
    if env == ENVS[0]:
        arguments |= {"temperature": world.model.temperature, "beginning": settings.beginning}
        arguments |= config.to_dict(settings.randomization)
    else:
        arguments["threads"] = cores()
        if model.gym_environment is None:
            arguments |= {**config.to_dict(world.road), "any_weights": world.any_weights}
    num_env = settings.num_env or NUM_ENV[env]
    discrete = model.actions.kind == DISCRETE
    entropy = settings.entropy if settings.entropy is not None else 0.01 * discrete
    values = {
        **VALUES,
        "nsteps": max(1, UPDATE // num_env),
        "num_layers": 1,
        "num_hidden": settings.hidden,
        "lr": f"linear:{settings.learning_rate}",
        "gamma": settings.gamma,
        "ent_coef": entropy,
        **({} if discrete else {"log_std_init": -0.7}),
        **({"load_path": agent_of(start)} if start else {}),
    }
    return [
        *("--alg=ppo2", f"--env={WORLDS[env]}", f"--env_kwargs={json.dumps(arguments)}", "--network=mlp"),
        *(f"--num_timesteps={settings.steps}", f"--num_env={num_env}"),
        *(f"--{name}={value}" for name, value in values.items()),
        *(f"--log_path={files.base}", f"--save_path={files.path(AGENT)}"),
        *([f"--seed={settings.seed}"] if settings.seed is not None else []),
        *(["--resume"] if resume else ["--fresh"]),
    ]


def agent_of(controller: Path) -> Path:
    """The agent that a controller was made of.

    Raises:
        ConfigError: there is none beside it.
    """
    agent = run_of(controller).path(AGENT)
    if not agent.exists():
        raise ConfigError(
            f"start: expected a controller of train-controller, with its agent beside it, got {controller} "
            f"and no {agent.name}"
        )
    return agent


def train(
    env: str,
    settings: PPOConfig,
    world: WorldConfig,
    folder: Path,
    start: Path | None = None,
    fresh: bool = False,
    strict: bool = False,
) -> Path:
    """Train a controller, or continue to.

    Args:
        env: "rnnenv" or "realenv".
        settings: of the training.
        world: of the world.
        folder: where the files go.
        start: a controller of such a training to start from.
        fresh: start over, replacing a run that is there.
        strict: refuse a controller to start from that was made with another world model.
    Returns:
        The file of the controller.
    Raises:
        ConfigError: the folder has files of another run, or the controller has no agent beside it.
    """
    if env == ENVS[0]:
        world = dataclasses.replace(world, model=world.model.with_temperature(search=True))
    z_size, hidden_size, cell_size = model_sizes(world.model.folder)
    actions = model_actions(world.model.folder)
    form = ControllerForm(
        *("zch" if cell_size else "zh", settings.hidden, actions.size, z_size, hidden_size),
        cell_size=cell_size,
        action_kind=actions.kind,
    )
    if start is not None:
        found = load_controller(start, world.model.folder, strict).form
        if found != form:
            raise ConfigError(f"start: expected a controller {form}, got one {found}")
    files = ppo_files(folder, env)
    facts = world_facts(env, world)
    used = facts.pop("versions")  # other ones continue the run
    described: Mapping[str, Any] = {
        **config.to_dict(settings),
        **({"start": str(start), "start_fingerprint": fingerprint(start)} if start else {}),
        **facts,
    }
    state, best = files.path(".config.json"), files.path(".best.json")
    outputs = [files.path(ending) for ending in (".json", ".best.json", ".card.json", AGENT)]
    with claim(files.base.name, outputs, state, fresh) as resumes:
        then, now = read_json(state, ConfigError) if resumes else {}, json.loads(json.dumps(described))
        differs = config.changed({**then, "steps": None}, {**now, "steps": None}) if then else ""
        if differs:
            raise ConfigError(
                f"{state}: expected the settings of the run that is there, got others: {differs}; give "
                "--fresh to start over, or another --log"
            )
        write_json(state, described)
        log.info("%s: %s; %d steps", env, form, settings.steps)
        resume = resumes and (files.base / "checkpoints").exists()
        agent = ControllerRun(words_of(env, settings, world, files, start, resume), actions).train()
        theta = theta_of(agent)
        reward = mean_return(env, settings, world, form, theta)
        files.write_card(to_card(form, theta, **described, versions=used))
        files.write_theta(theta)
        files.write_best(theta, reward)
    log.info("%s: mean return of %d episodes %.2f", best, EVALUATED[env], reward)
    return best


def mean_return(
    env: str, settings: PPOConfig, world: WorldConfig, form: ControllerForm, theta: Floats
) -> float:
    """The mean return of a controller in the world that it was trained in, without exploration."""
    most = settings.max_steps or WorldModel.load(world.model.folder).search_steps
    evaluator = make_evaluator(
        env, world, form, beginning=settings.beginning, randomization=settings.randomization
    )
    try:
        returns = evaluator(EvalBatch(theta[None], (SEED,), EVALUATED[env], most))
    finally:
        if isinstance(evaluator, RoadEvaluator):
            evaluator.close()
    return float(returns.reward.mean())
