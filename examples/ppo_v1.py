"""What an agent learned in the dream, driven in the simulator: v1 shows what v2 shows, [z, c, h]."""

from __future__ import annotations

import argparse
from typing import Any

from stable_baselines3 import PPO

from dreamduck.rl.env_batches import vec_env


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("agent", help="file that examples/ppo_v2.py saved; loading it trusts it")
    parser.add_argument("--steps", type=int, default=300, help="of the world, 0.1 s each")
    parser.add_argument(
        "--weights", default="", help="folder of the world model; the shipped one by default"
    )
    flags = parser.parse_args()

    road = vec_env("DreamDuck-v1", 4, weights=flags.weights, start_angle=4.0)
    model = PPO.load(flags.agent, device="cpu")
    seen: Any = road.reset()
    driven = 0.0
    for _ in range(flags.steps):
        actions, _ = model.predict(seen, deterministic=True)
        seen, rewards, _, infos = road.step(actions)
        driven += float(rewards.mean())
        for info in infos:
            if "episode" in info:
                print(
                    f"{info['episode']['l']} steps, reward {info['episode']['r']:.2f}, end: {info['end']}"
                )
    print(f"reward of a car in {flags.steps} steps: {driven:.2f}")


if __name__ == "__main__":
    main()
