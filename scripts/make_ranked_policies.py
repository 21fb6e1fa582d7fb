"""Train and freeze the policies that the evaluation card of a world model ranks.

    python scripts/make_ranked_policies.py [--folder FOLDER] [--weights FOLDER] [--out FOLDER]

Policies, good and bad, as flat controllers: means of CMA-ES in the dream from early to late generations,
with several seeds, on z alone and on [z, h]; the actor of a PPO agent in the dream at several steps; and
the best controllers that ship. Writes `ranked_policies.npz` (their thetas) and `ranked_policies.json`
(their forms, how they were made, and the fingerprints of the world model that they belong to).
What is finished in the folder is not trained again."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common import command_line
from dreamduck.common.errors import CheckpointError
from dreamduck.common.processes.mpi import Team
from dreamduck.common.storage import read_npz, write_json, write_npz
from dreamduck.controllers.controller_file import read_card, read_controller
from dreamduck.controllers.factory import (
    FormConfig,
    WorldConfig,
    model_sizes,
    versions,
    weights_fingerprints,
)
from dreamduck.controllers.policy import ControllerForm
from dreamduck.pretrained import CONTROLLERS, FOLDER
from dreamduck.search.run import Plan, evolve
from dreamduck.search.settings import SearchConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.model_config import ModelConfig

FORMAT = 1
STEPS = 40  # of a dream: policies of all qualities are wanted, not the best ones
GENERATIONS = (1, 3, 8, 20, 60)  # whose means are frozen
SEARCHES = (("z", 1), ("z", 2), ("zh", 3))  # features and seed of each
SEARCH = SearchConfig(
    num_worker=32, num_episode=16, max_steps=STEPS, components=64, covariance="full", seeds="common",
    end_cost=3.0, weight_decay=0.05, eval_steps=1000,
)  # fmt: skip
PPO_STEPS = (60_000, 200_000, 500_000, 1_000_000)  # after which the actor is frozen
PPO_ENVS, PPO_ROLLOUT, PPO_UNITS, PPO_SEED = 128, 32, 16, 4
ACTION_LIMIT = 5.0  # of the agent's actions, which go through a tanh
SHIPPED = ("rnnenv.cma.32.64", "realenv.cma.4.32")


class Frozen(NamedTuple):
    """One policy."""

    name: str
    form: ControllerForm
    theta: npt.NDArray[np.float32]  # (n,)
    facts: dict[str, Any]


def searched(folder: Path, world: WorldConfig, features: str, seed: int) -> list[Frozen]:
    """The means of one search after some of its generations; a stopped search continues."""
    form = FormConfig(features).form(*model_sizes(world.model.folder))
    found = []
    for generation in GENERATIONS:
        settings = dataclasses.replace(SEARCH, generations=generation, seed_start=seed)
        target = folder / f"cma.{features}.{seed}"
        kept = target / f"generation.{generation}.npz"
        if not kept.exists():
            search = evolve(Plan("rnnenv", world, settings, form, target), Team())
            assert search is not None
            write_npz(kept, {"theta": np.asarray(search.mean, np.float32)})
        theta = read_npz(kept, CheckpointError)["theta"]
        facts = {"kind": "cma-es", "trained_in": "dream", "seed": seed, "generation": generation}
        found.append(
            Frozen(f"CMA-ES on {features}, seed {seed}, {generation} generations", form, theta, facts)
        )
    return found


def agents(folder: Path, world: WorldConfig) -> list[Frozen]:
    """The actor of one PPO agent after some of its steps."""
    sizes = WorldModel.load(world.model.folder).sizes
    form = FormConfig("zh", PPO_UNITS).form(*model_sizes(world.model.folder))
    kept = folder / "ppo.npz"
    if not kept.exists():
        write_npz(kept, train_agent(world, sizes.z_size, sizes.hidden_size))
    thetas = read_npz(kept, CheckpointError)
    return [
        Frozen(
            f"PPO, {steps // 1000}k steps", form, thetas[str(steps)],
            {"kind": "ppo", "trained_in": "dream", "seed": PPO_SEED, "steps": steps},
        )
        for steps in PPO_STEPS
    ]  # fmt: skip


def train_agent(world: WorldConfig, z_size: int, hidden_size: int) -> dict[str, npt.NDArray[np.float32]]:
    """Train PPO in the dream; the actor as a theta, by the number of steps."""
    import gymnasium as gym

    from dreamduck.rl.environments.wrappers import make_vec_env
    from dreamduck.rl.sb3 import VecEnvWrapper, VecNormalize, sb3, set_threads

    class LatentsAndOutput(VecEnvWrapper):
        """[z, h] of [z, c, h]; actions go through a tanh, as a controller's do."""

        def __init__(self, venv: Any) -> None:
            observed = gym.spaces.Box(-np.inf, np.inf, (z_size + hidden_size,), np.float32)
            acted = gym.spaces.Box(-ACTION_LIMIT, ACTION_LIMIT, (2,), np.float32)
            super().__init__(venv, observed, acted)

        def reset(self) -> Any:
            return self._seen(self.venv.reset())

        def step_async(self, actions: Any) -> None:
            self.venv.step_async(np.tanh(actions))

        def step_wait(self) -> Any:
            observations, rewards, dones, infos = self.venv.step_wait()
            for info in infos:
                if "terminal_observation" in info:
                    info["terminal_observation"] = self._seen(info["terminal_observation"][None])[0]
            return self._seen(observations), rewards, dones, infos

        @staticmethod
        def _seen(observations: Any) -> Any:
            return np.concatenate([observations[:, :z_size], observations[:, -hidden_size:]], axis=1)

    set_threads(images=False)
    settings = {
        "beginning": "midway",
        "max_episode_steps": STEPS,
        "temperature": world.model.temperature,
    }
    venv = make_vec_env("DreamDuck-v2", PPO_ENVS, weights=world.model.weights, **settings)
    normalized = VecNormalize(LatentsAndOutput(venv), clip_obs=1e6)
    agent = sb3.PPO(
        "MlpPolicy", normalized, n_steps=PPO_ROLLOUT, batch_size=PPO_ENVS * PPO_ROLLOUT // 4, n_epochs=4,
        learning_rate=3e-4, target_kl=0.02, vf_coef=0.25, seed=PPO_SEED, device="cpu",
        policy_kwargs={"net_arch": {"pi": [PPO_UNITS], "vf": [64, 64]}, "log_std_init": -0.7},
    )  # fmt: skip
    found = {}
    for steps in PPO_STEPS:
        agent.learn(steps - agent.num_timesteps, reset_num_timesteps=False)
        found[str(steps)] = actor_theta(agent, normalized)
    normalized.close()
    return found


def actor_theta(agent: Any, normalized: Any) -> npt.NDArray[np.float32]:
    """The mean action of an agent as one theta, with the normalization of what it sees inside."""
    numbers = {name: value.double().numpy() for name, value in agent.policy.state_dict().items()}
    mean = normalized.obs_rms.mean
    deviation = np.sqrt(normalized.obs_rms.var + normalized.epsilon)
    first = numbers["mlp_extractor.policy_net.0.weight"].T / deviation[:, None]
    bias = numbers["mlp_extractor.policy_net.0.bias"] - mean @ first
    layers = [(bias, first), (numbers["action_net.bias"], numbers["action_net.weight"].T)]
    return np.concatenate([part.ravel() for layer in layers for part in layer]).astype(np.float32)


def shipped(world: WorldConfig) -> list[Frozen]:
    """The controllers that come with the package, those that were made with this world model."""
    ours, found = weights_fingerprints(world.model.folder), []
    for name in SHIPPED:
        path = CONTROLLERS / f"{name}.best.json"
        card = read_card(path)
        if any(
            ours.get(file) != card["weights"].get(file) for file in ("vae.weights.h5", "rnn.weights.h5")
        ):
            print(f"{path.name}: made with another world model, left out")
            continue
        controller = read_controller(path, *model_sizes(world.model.folder))
        where = {"rnnenv": "dream", "realenv": "road"}[card["world"]["env"]]
        facts = {"kind": "shipped", "trained_in": where, "generation": card["generations"]}
        found.append(
            Frozen(f"shipped, trained {where_words(where)}", controller.form, controller.theta, facts)
        )
    return found


def where_words(where: str) -> str:
    """Where a policy was trained, as text."""
    return {"dream": "in the dream", "road": "in the simulator"}[where]


def write(out: Path, policies: Sequence[Frozen], world: WorldConfig) -> None:
    """Write both files; thetas in half precision, which halves their file."""
    fingerprints = weights_fingerprints(world.model.folder)
    weights = {name: fingerprints[name] for name in ("vae.weights.h5", "rnn.weights.h5")}
    thetas = {f"theta.{i}": policy.theta.astype(np.float16) for i, policy in enumerate(policies)}
    rows = [
        {"name": policy.name, **policy.facts, "form": dataclasses.asdict(policy.form)}
        for policy in policies
    ]
    write_npz(out / "ranked_policies.npz", thetas)
    card = {"format": FORMAT, "weights": weights, "versions": versions(), "drivers": rows}
    write_json(out / "ranked_policies.json", card)


def main(argv: Sequence[str] | None = None) -> int:
    """Make all policies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("policies"), help="folder of the trainings")
    parser.add_argument(
        "--weights", default="", help="folder of the world model; the one that ships by default"
    )
    parser.add_argument(
        "--out", type=Path, default=FOLDER, help="folder of ranked_policies.npz and ranked_policies.json"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="log warnings only; no progress bar")
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    world = WorldConfig(model=ModelConfig(arguments.weights).with_temperature(search=True))
    policies = shipped(world)
    for features, seed in SEARCHES:
        policies += searched(arguments.folder, world, features, seed)
    policies += agents(arguments.folder, world)
    write(arguments.out, policies, world)
    print(f"{len(policies)} policies in {arguments.out / 'ranked_policies.npz'}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
