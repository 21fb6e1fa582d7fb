"""PPO in the simulator, in plain Stable-Baselines3: frames in, throttle and steering out."""

from __future__ import annotations

import argparse

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from dreamduck.rl.environments.wrappers import make_vec_env


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--save", default="ppo_v0.zip")
    flags = parser.parse_args()

    settings = {"map_name": "loop_empty", "start_angle": 4.0}  # starts along the lane, within 4 degrees
    road = make_vec_env("DreamDuck-v0", 8, **settings)  # eight cars in one batch
    model = PPO("CnnPolicy", road, n_steps=128, batch_size=256, n_epochs=4, verbose=1)
    model.learn(flags.steps)
    model.save(flags.save)
    reward, std = evaluate_policy(model, make_vec_env("DreamDuck-v0", 4, **settings), n_eval_episodes=4)
    print(f"reward {reward:.2f} +- {std:.2f}")


if __name__ == "__main__":
    main()
