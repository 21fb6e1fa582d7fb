"""Training with PPO: the worlds as batches against 8 gym-duckietown processes, in one run.

`python -m benchmarks.ppo` prints a table and writes results/ppo.json. Every peer trains the same
agent (the same network, settings and Stable-Baselines3 code); only where its steps come from differs:
- "native": DreamDuck-v0, 8 cars in one batch;
- "mended": the same with simulator="gym-duckietown", 8 processes, as this package runs it;
- "stock": gym-duckietown as installed, 8 processes, with only the patch without which it does not step;
- "dream": DreamDuck-v2, 8 dreams in one batch, with the dense network."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

CARS = 8
STEPS = 128  # of each car in an update
COMMAND = "python -m benchmarks.ppo"


class Stock(gymnasium.Env[Any, Any]):
    """gym-duckietown as a Gymnasium world, three steps of physics for each of its own, as in v0."""

    observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self) -> None:
        import contextlib
        import logging
        import sys
        import warnings

        logging.disable(logging.WARNING)
        warnings.filterwarnings("ignore")
        with contextlib.redirect_stdout(sys.stderr):
            import duckietown_world  # noqa: F401  (before geometry)
            import geometry

            made = geometry.se2_from_linear_angular

            def plain(value: Any) -> float:
                return float(np.asarray(value).reshape(-1)[0])

            geometry.se2_from_linear_angular = lambda v, w: made([plain(x) for x in v], plain(w))
            from gym_duckietown.envs import DuckietownEnv

            self.env = DuckietownEnv(
                map_name="loop_empty",
                camera_width=64,
                camera_height=64,
                domain_rand=False,
                frame_skip=3,
                max_steps=3000,
            )

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begin an episode."""
        return np.asarray(self.env.reset()), {}

    def step(self, action: Any) -> Any:
        """Drive for three steps of physics."""
        frame, reward, done, _ = self.env.step(np.asarray(action))
        return np.asarray(frame), float(reward), bool(done), False, {}


def stock_processes() -> Any:
    """The 8 processes as a batch; nothing of PyTorch is loaded in them."""
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode

    from dreamduck.rl.environments.vec_env import BatchVecEnv

    batch = AsyncVectorEnv([Stock] * CARS, context="spawn", autoreset_mode=AutoresetMode.SAME_STEP)
    return BatchVecEnv(batch)


def trainer(venv: Any, network: str, **keys: Any) -> Any:
    """An agent for those environments; each call of the result trains for one update, and tells how many
    threads PyTorch had for it.
    """
    from dreamduck.rl import algorithms, policies
    from dreamduck.rl.environments.wrappers import EpisodeMonitor
    from dreamduck.rl.run_plan import resolve
    from dreamduck.rl.sb3 import set_threads

    algorithm = algorithms.find("ppo2")
    given = {"nsteps": STEPS, **keys}
    spaces = venv.observation_space, venv.action_space
    plan = resolve(algorithm, algorithms.defaults(algorithm, ""), given, network, CARS, *spaces)
    model = policies.build(plan, EpisodeMonitor(venv, ""), seed=0)

    def train() -> int:
        threads = set_threads(policies.uses_images(plan))
        model.learn(CARS * STEPS, log_interval=1 << 60, reset_num_timesteps=False)
        return threads

    return train


def main(argv: Sequence[str] | None = None) -> None:
    from benchmarks.common import save
    from dreamduck.common.errors import WeightsError
    from dreamduck.rl.environments.wrappers import make_vec_env

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each peer (default: 3)")
    parser.add_argument("--network", default="cnn_small", help="network of the peers that see frames")
    parser.add_argument(
        "--weights", default="", help="folder of the world model; the shipped one by default"
    )
    flags = parser.parse_args(argv)
    print("starting 16 processes of gym-duckietown, each with a window system of its own", flush=True)
    places: dict[str, Any] = {
        "native": lambda: make_vec_env("DreamDuck-v0", CARS),
        "mended": lambda: make_vec_env("DreamDuck-v0", CARS, simulator="gym-duckietown"),
        "stock": stock_processes,
        "dream": lambda: make_vec_env("DreamDuck-v2", CARS, weights=flags.weights),
    }
    venvs, peers, threads = {}, {}, {}
    for name, make in places.items():
        try:
            venvs[name] = make()
        except WeightsError as err:
            print(f"{name}: left out ({err})")
            continue
        peers[name] = trainer(venvs[name], "mlp" if name == "dream" else flags.network)
        threads[name] = peers[name]()  # compiles, and fills the first episodes
        print(f"{name} is ready", flush=True)
    spent: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(flags.rounds):
        for name, train in peers.items():  # in turns, so that a slow minute is slow for all
            begin = time.perf_counter()
            train()
            spent[name].append(time.perf_counter() - begin)
    for venv in venvs.values():
        venv.close()
    rates = {name: CARS * STEPS / float(np.median(times)) for name, times in spent.items()}
    for name, rate in rates.items():
        print(f"{name:8} {rate:8.0f} steps/s   {rate / rates['stock']:6.1f} times stock")
    given = os.environ.get("OMP_NUM_THREADS")
    results = {
        "network": flags.network,
        "torch_threads": threads,
        "cars": CARS,
        "steps_per_update": STEPS,
        "steps_per_second": rates,
        "times_stock": {name: rate / rates["stock"] for name, rate in rates.items()},
    }
    command = COMMAND if given is None else f"OMP_NUM_THREADS={given} {COMMAND}"
    print(f"wrote {save('ppo', command, results)}")


if __name__ == "__main__":
    main()
