"""PPO in the dream, in plain Stable-Baselines3, without the simulator."""

from __future__ import annotations

import argparse

from stable_baselines3 import PPO

from dreamduck.rl.environments.wrappers import make_vec_env


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--save", default="ppo_v2.zip")
    parser.add_argument(
        "--weights", default="", help="folder of the world model; the shipped one by default"
    )
    flags = parser.parse_args()

    dream = make_vec_env("DreamDuck-v2", 16, weights=flags.weights)  # sixteen dreams in one batch
    model = PPO("MlpPolicy", dream, n_steps=128, batch_size=256, n_epochs=4, device="cpu", verbose=1)
    model.learn(flags.steps)
    model.save(flags.save)  # examples/ppo_v1.py tests it in the simulator


if __name__ == "__main__":
    main()
