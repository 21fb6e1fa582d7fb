"""Test an agent of the dream in the simulator: v1 and v2 have the same observations, [z, c, h]."""

from __future__ import annotations

import argparse
from typing import Any

from stable_baselines3 import PPO

from dreamduck.rl.environments.wrappers import make_vec_env


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("agent", help="file that examples/ppo_v2.py saved; loading it trusts it")
    parser.add_argument("--steps", type=int, default=300, help="of the environment, 0.1 s each")
    parser.add_argument(
        "--weights", default="", help="folder of the world model; the shipped one by default"
    )
    flags = parser.parse_args()

    road = make_vec_env("DreamDuck-v1", 4, weights=flags.weights, start_angle=4.0)
    model = PPO.load(flags.agent, device="cpu")
    observations: Any = road.reset()
    total = 0.0
    for _ in range(flags.steps):
        actions, _ = model.predict(observations, deterministic=True)
        observations, rewards, _, infos = road.step(actions)
        total += float(rewards.mean())
        for info in infos:
            if "episode" in info:
                print(
                    f"{info['episode']['l']} steps, reward {info['episode']['r']:.2f}, end: {info['end']}"
                )
    print(f"reward of a car in {flags.steps} steps: {total:.2f}")


if __name__ == "__main__":
    main()
