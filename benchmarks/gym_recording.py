"""Recording another environment by `dreamduck record --env ID`, against a plain loop in one process.

    python -m benchmarks.gym_recording [--env CarRacing-v3] [--episodes 80] [--frames 150]

Both take random actions and write the same number of steps to the same kind of files; the command's time
includes the start of its processes. Writes `benchmarks/results/gym_recording.json`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image

from benchmarks.common import save
from dreamduck.common.processes.threads import cores
from dreamduck.recordings import Episode, find_recordings, write_episode
from dreamduck.recordings.sources import ActionSpace


def plain(env_id: str, folder: Path, episodes: int, frames: int) -> int:
    """Record in one loop, as one would write it; returns the steps."""
    env, steps = gymnasium.make(env_id), 0
    actions = ActionSpace.of(env.action_space)
    for number in range(episodes):
        observation, _ = env.reset(seed=number)
        env.action_space.seed(number)
        rows = []
        for _ in range(frames):
            action = env.action_space.sample()
            frame = np.asarray(Image.fromarray(observation).resize((64, 64), Image.Resampling.BOX))
            observation, reward, terminated, truncated, _ = env.step(action)
            rows.append((frame, actions.encode(action[np.newaxis], 1)[0], reward, terminated))
            if terminated or truncated:
                break
        obs, taken, rewards, done = map(np.array, zip(*rows, strict=True))
        episode = Episode(obs, taken.astype(np.float32), rewards.astype(np.float32), done)
        write_episode(folder / f"{number}.npz", episode)
        steps += len(rows)
    env.close()
    return steps


def command(env_id: str, folder: Path, episodes: int, frames: int, processes: int) -> int:
    """Record by the command; returns the steps."""
    words = [
        *(sys.executable, "-m", "dreamduck", "record", "--env", env_id, "--records", str(folder)),
        *("--max-trials", str(episodes), "--max-frames", str(frames), "--policies", "random", "-q"),
        *("--processes", str(processes), "--log", str(folder.parent / "log")),
    ]
    subprocess.run(words, check=True, capture_output=True)
    return int(find_recordings(folder).lengths.sum())


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--env", default="CarRacing-v3")
    parser.add_argument("--episodes", type=int, default=80)
    parser.add_argument("--frames", type=int, default=150)
    arguments = parser.parse_args()
    size = arguments.env, arguments.episodes, arguments.frames
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, processes in (("plain loop", 0), ("one process", 1), (f"{cores()} processes", cores())):
            place = Path(folder) / str(processes)
            place.mkdir()
            begin = time.perf_counter()
            env_id, episodes, frames = size
            if processes:
                steps = command(env_id, place, episodes, frames, processes)
            else:
                steps = plain(env_id, place, episodes, frames)
            rates[name] = round(steps / (time.perf_counter() - begin), 1)
            print(f"{name}: {rates[name]} steps/s")
    ratios = {name: round(rate / rates["plain loop"], 3) for name, rate in rates.items()}
    words = f"python -m benchmarks.gym_recording --env {size[0]} --episodes {size[1]} --frames {size[2]}"
    save("gym_recording", words, {"steps per second": rates, "times the plain loop": ratios})


if __name__ == "__main__":
    main()
