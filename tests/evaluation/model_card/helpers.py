"""Made-up real episodes in which the frame shows where the car is, and a world model of random weights."""

from __future__ import annotations

import numpy as np

from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.driving.data import RealData, RealEpisodes
from dreamduck.world_model import WorldModel

MAP = "loop_empty"


def toy_episodes(model: WorldModel, episodes: int = 6, steps: int = 40, seed: int = 0) -> RealEpisodes:
    """Drives past a yellow line, whose column shows the lane offset and whose brightness the speed."""
    random = np.random.default_rng(seed)
    count = episodes * steps
    action = np.repeat(random.uniform(-1, 1, (episodes * steps // 10, 2)), 10, axis=0).astype(np.float32)
    telemetry = np.zeros((count, 8), np.float32)
    for e in range(episodes):
        rows = slice(e * steps, (e + 1) * steps)
        telemetry[rows, 2] = 0.3 + 0.2 * action[rows, 0]
        telemetry[rows, 1] = -0.3 * np.tanh(np.cumsum(action[rows, 1]) / 10)
        telemetry[rows, 0] = np.clip(random.uniform(-0.1, 0.1) + 0.3 * telemetry[rows, 1], -0.3, 0.3)
    frames = np.full((count, 64, 64, 3), 90, np.uint8)
    for frame, (offset, angle, speed) in zip(frames, telemetry[:, :3], strict=True):
        column = int(np.clip(30 - 90 * offset, 0, 58))
        frame[20:, column : column + 6] = (220, int(np.clip(255 * speed, 0, 255)), 40)
        frame[: int(np.clip(14 + 30 * angle, 2, 30))] = (40, 40, 200)
    done = np.zeros(count, np.bool_)
    done[steps - 1 :: steps] = np.arange(episodes) % 2 == 0
    return RealEpisodes(
        z=model.encode(frames),
        action=action,
        reward=random.normal(0.02, 0.02, count).astype(np.float32),
        done=done,
        offsets=np.arange(0, count + 1, steps),
        telemetry=telemetry,
        frames=frames,
        maps=(MAP,) * episodes,
        ahead=np.repeat(random.integers(0, 4, episodes), steps),
        policies=tuple("ab"[e % 2] for e in range(episodes)),
    )


def toy_data(model: WorldModel, steps: int = 40, seed: int = 0) -> RealData:
    """Episodes for the probes, held-out ones, and some of another map."""
    train, kept, unseen = (toy_episodes(model, n, steps, seed + i) for i, n in enumerate((10, 6, 4)))
    source = {"recorded": False, "train_episodes": 10, "held_out_episodes": 6, "unseen_episodes": 4}
    return RealData(train, kept, unseen, {"id": "DreamDuck-v0", "step_time": 0.1}, source)


def toy_config(**changes: object) -> ModelCardConfig:
    """Settings for seconds."""
    return ModelCardConfig(**{"short": True, "dreams": 2, "warmup": 5, **changes})  # type: ignore[arg-type]
