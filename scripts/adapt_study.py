"""The gain from ten minutes of logs: `python -m scripts.adapt_study --out study`.

A controller drives in the simulator that its world model learned from; then in one that looks and
moves differently. Its episodes there are logs, which are ingested, encoded and learned from. At last it
drives there again with the adapted model. `study.json` has the three distances."""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common import command_line, config, seeding
from dreamduck.common.config import check, option, to_dict
from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import write_json, write_npz
from dreamduck.controllers.evaluator import ControllerPolicy, run_episodes
from dreamduck.controllers.factory import load_controller
from dreamduck.controllers.policy import Controller, Floats
from dreamduck.deployment.gauntlet.camera import ImagePerturbation
from dreamduck.deployment.gauntlet.car import disturb, variations
from dreamduck.deployment.gauntlet.perturbations import Conditions
from dreamduck.evaluation.episode_stats import EpisodeStatsCallback
from dreamduck.pretrained import FOLDER
from dreamduck.recordings.logs.ingest import IngestConfig, ingest
from dreamduck.simulator.base import CarState, Frames
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.categorical.layout import KIND as CATEGORICAL
from dreamduck.world_model.categorical.settings import TrainingConfig as CategoricalConfig
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig as MDNRNNConfig

# Of no recording: a dim and reddish camera that looks further down, and a weak left wheel.
CONDITIONS = {"exposure": 0.75, "red": 1.15, "pitch": 2.0, "left": 0.92}
MOST_ROUNDS = 50
EVALUATION, LOGS = 1, 2  # places of the seeds


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """Settings of the study."""

    weights: str = option(str(FOLDER), "folder of the world model")
    controller: str = option(
        str(FOLDER / "controllers" / "rnnenv.cma.32.64.best.json"), "file of the controller"
    )
    conditions: str = option(
        json.dumps(CONDITIONS), "of the other simulator: fields of `Conditions`, as JSON"
    )
    episodes: int = option(20, "driven for each distance, and at a time for logs", low=1)
    seconds: float = option(60.0, "length of an episode", unit="s", above=0.0)
    minutes: float = option(10.0, "length of the logs", unit="min", above=0.0)
    steps: int = option(300, "batches of the training", low=1)
    batch_size: int = option(16, "windows in each", low=1)
    learning_rate: float = option(0.0005, "learning rate of the training", above=0.0)
    seed: int = option(0, "seed of all episodes and of the training", low=0)

    def __post_init__(self) -> None:
        check(self)

    @property
    def other(self) -> Conditions:
        """The conditions of the other simulator.

        Raises:
            ConfigError: unknown ones, or no JSON.
        """
        try:
            return Conditions(**json.loads(self.conditions))
        except (TypeError, ValueError) as err:
            raise ConfigError(
                f"conditions: expected a JSON object of {', '.join(Conditions._fields)}, "
                f"got {self.conditions!r:.100}"
            ) from err


class OtherRoad(Road):
    """N cars in a simulator with another appearance and other motors.

    Args:
        settings: of the road.
        cars: N.
        conditions: of every episode.
    """

    def __init__(self, settings: RoadConfig, cars: int, conditions: Conditions) -> None:
        super().__init__(settings, cars)
        self._conditions = [conditions] * cars
        self._image = ImagePerturbation(self._conditions, range(cars))

    def reset(self, seeds: Sequence[int], *given: Any, **others: Any) -> CarState:
        """Begin an episode for every car."""
        drawn = variations(self._conditions, self.config.simulation.distortion)
        state = super().reset(seeds, variations=drawn)
        disturb(self.simulator, self._conditions)  # type: ignore[arg-type]
        self._image = ImagePerturbation(self._conditions, seeds)
        return state

    def frames(self, out: Frames | None = None, cars: npt.NDArray[np.int64] | None = None) -> Frames:
        """What the cameras see."""
        return self._image(super().frames(out, cars))


class RecordedPolicy(ControllerPolicy):
    """A controller for every car, which keeps its frames and actions."""

    def __init__(self, controller: Controller, perception: Perception) -> None:
        super().__init__(controller.form, controller.theta, perception)
        self.seen: list[Frames] = []
        self.done: list[Floats] = []

    def act(self, state: CarState, frames: Frames | None) -> Floats:
        """Act, and keep frames and actions."""
        assert frames is not None
        action = super().act(state, frames)
        self.seen.append(frames.copy())
        self.done.append(action)
        return action


class Study:
    """Drives, logs and trainings.

    Args:
        settings: of the study.
        folder: for logs, recordings and weights.
    """

    def __init__(self, settings: StudyConfig, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.road = RoadConfig()
        self.controller = load_controller(settings.controller, Path(settings.weights))

    def policy(self, weights: Path, cars: int) -> RecordedPolicy:
        """The controller, seeing through a world model."""
        model = WorldModel.load(weights)
        return RecordedPolicy(self.controller, Perception(model.vae, model.dynamics, cars))

    def distances(self, conditions: Conditions, weights: Path) -> dict[str, Any]:
        """Metres along the lane in episodes of one seed each, and the survival rate."""
        count = self.settings.episodes
        seeds = [seeding.derive(self.settings.seed, EVALUATION, episode) for episode in range(count)]
        stats = EpisodeStatsCallback(self.road.step_time)
        self._drive(conditions, self.policy(weights, count), seeds, stats)
        episodes = stats.episodes()
        metres = [episode["distance"] for episode in episodes]
        alive = sum(episode["end"] == "time" for episode in episodes)
        return {"distance": float(np.mean(metres)), "alive": alive / count, "distances": metres}

    def _drive(
        self, conditions: Conditions, policy: RecordedPolicy, seeds: list[int], stats: Any = None
    ) -> Any:
        steps = max(1, round(self.settings.seconds / self.road.step_time))
        road = OtherRoad(self.road, len(seeds), conditions)
        try:
            return run_episodes(road, policy, seeds, steps, stats)
        finally:
            road.close()

    def record(self, weights: Path) -> float:
        """Ingest logs of drives in the other simulator; gives their minutes."""
        wanted = round(self.settings.minutes * 60 / self.road.step_time)
        made = config.replace(IngestConfig(), records=str(self.folder / "records"), color_order="rgb")
        total = 0
        for number in range(MOST_ROUNDS):
            path = self.folder / f"drive-{number}.npz"
            if self._log(path, number, weights, made.min_steps, wanted - total):
                total += ingest(path, made)[1]
            if total > wanted - made.min_steps:
                break
        return total * self.road.step_time / 60

    def _log(self, path: Path, number: int, weights: Path, least: int, most: int) -> bool:
        """Write a round of drives, of `most` steps together; returns whether any had `least` steps."""
        cars = range(self.settings.episodes)
        seeds = [seeding.derive(self.settings.seed, LOGS, number, car) for car in cars]
        policy = self.policy(weights, len(seeds))
        lengths = self._drive(self.settings.other, policy, seeds).length[:, 0]
        lengths = np.minimum(lengths, np.maximum(0, most - np.cumsum(lengths) + lengths))
        kept = [(car, slice(0, int(lengths[car]))) for car in cars if lengths[car] >= least]
        if kept:
            frames, actions = np.stack(policy.seen, axis=1), np.stack(policy.done, axis=1)
            action = np.concatenate([actions[row] for row in kept])
            columns = {
                "observation.image": np.concatenate([frames[row] for row in kept]),
                "throttle": action[:, 0],
                "steering": action[:, 1],
                "episode_index": np.concatenate([np.full(rows.stop, car) for car, rows in kept]),
            }
            write_npz(path, columns)
        return bool(kept)

    def adapt(self, weights: Path) -> Path:
        """Train on the logs; gives the folder of the adapted model."""
        from dreamduck.world_model.latents.encoding import make_series  # loads TensorFlow
        from dreamduck.world_model.train_rnn import train

        model, given = WorldModel.load(weights), self.settings
        make_series(self.folder / "records", model.vae, self.folder / "series")
        kind = CategoricalConfig if model.dynamics.kind == CATEGORICAL else MDNRNNConfig
        train(
            kind(
                series=str(self.folder / "series"),
                weights=str(self.folder / "adapted"),
                log=str(self.folder / "log"),
                adapt=str(weights),
                steps=given.steps,
                batch_size=given.batch_size,
                learning_rate=given.learning_rate,
                evaluate_every=given.steps,
                seed=given.seed,
            )
        )
        return self.folder / "adapted"


def study(settings: StudyConfig, folder: Path) -> dict[str, Any]:
    """The three distances, for JSON.

    Args:
        settings: of the study.
        folder: for logs, recordings and weights.
    """
    made, weights, other = Study(settings, folder), Path(settings.weights), settings.other
    clean = made.distances(Conditions(), weights)
    perturbed = made.distances(other, weights)
    minutes = made.record(weights)
    adapted = made.distances(other, made.adapt(weights))
    return {
        "settings": to_dict(settings),
        "minutes": minutes,
        "clean": clean,
        "perturbed": perturbed,
        "adapted": adapted,
        "share": {
            name: row["distance"] / clean["distance"]
            for name, row in (("perturbed", perturbed), ("adapted", adapted))
        },
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study, print the distances, write the JSON."""
    parser: argparse.ArgumentParser = command_line.parser(__doc__ or "")
    parser.add_argument("--out", default="study", help="folder to write to (default: study)")
    config.add_arguments(parser, StudyConfig)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings, out = config.from_arguments(StudyConfig, arguments), Path(arguments.out)
    with tempfile.TemporaryDirectory() as folder:
        found = study(settings, Path(folder))
    write_json(out / "study.json", found)
    for name in ("clean", "perturbed", "adapted"):
        row = found[name]
        share = row["distance"] / found["clean"]["distance"]
        print(f"{name}: {row['distance']:.2f} m ({share:.0%} of clean), survival rate {row['alive']:.0%}")
    print(f"{found['minutes']:.1f} minutes of logs; {out / 'study.json'}")


if __name__ == "__main__":
    main()
