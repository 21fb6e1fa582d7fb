"""The whole way, small, for any Gymnasium environment: record, train, dream, evolve, evaluate, film.

Each stage is a command that anyone can type; a second start goes on where the first was stopped."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common import command_line, config, seeding
from dreamduck.common.config import check, option, part
from dreamduck.common.errors import ConfigError
from dreamduck.common.processes.threads import cores
from dreamduck.common.storage import read_json, write_json
from dreamduck.controllers.controller_file import RunFiles
from dreamduck.controllers.evaluator import EvalBatch, Returns, run_episodes
from dreamduck.controllers.factory import WorldConfig, load_controller, make_evaluator
from dreamduck.evaluation.final_evaluation import claim_report
from dreamduck.pipeline.stages import Stage, run_stages
from dreamduck.recordings.sources import ActionSpace
from dreamduck.recordings.sources.gym_environment import GymEnvironment, inspect, search_here
from dreamduck.recordings.sources.gym_vector import GymVector
from dreamduck.world_model import WorldModel

log = logging.getLogger(__name__)

SEED = 90_001  # of the episodes that are evaluated; nothing was recorded or evolved on them
KEY = 0x71737274
TEMPERATURE = 1.0
# figure: from where on it is good, and fair; higher is better
LEVELS = {
    "PSNR of the VAE [dB]": (24.0, 19.0),
    "correlation of predicted and true rewards": (0.8, 0.4),
    "AUC of the predicted end": (0.9, 0.75),
}


@dataclasses.dataclass(frozen=True)
class QuickstartConfig:
    """How small the whole way is."""

    environment: GymEnvironment = part(GymEnvironment)
    episodes: int = option(100, "to record", low=4)
    frames: int = option(200, "of an episode at most", low=20)
    vae_steps: int = option(400, "of the VAE", low=1)
    rnn_steps: int = option(300, "of the MDN-RNN", low=1)
    generations: int = option(40, "of the search in the dream", low=1)
    score_episodes: int = option(10, "real episodes to evaluate the controller by", low=2)
    score_steps: int = option(1000, "of each at most", low=1)

    def __post_init__(self) -> None:
        check(self)
        if not self.environment.env:
            raise ConfigError("env: expected an id of Gymnasium, got none; give --env ID")


POPULATION, DREAMS = 32, 8


def environment_flags(environment: GymEnvironment) -> list[str]:
    """The flags of an environment that differ from the defaults."""
    found = ["--env", environment.env]
    for name, value in dataclasses.asdict(environment).items():
        if name != "env" and value != getattr(GymEnvironment, name):
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            found += [f"--{name.replace('_', '-')}", text]
    return found


def stages(folder: Path, settings: QuickstartConfig) -> list[Stage]:
    """The commands, in their order."""
    records, weights, series, logs = (folder / name for name in ("records", "weights", "series", "log"))
    vae, rnn, best = weights / "vae.weights.h5", weights / "rnn.weights.h5", best_controller(folder)
    places = ("--weights", str(weights), "--log", str(logs))
    record = [
        *("extract.py", *environment_flags(settings.environment)),
        *("--records", str(records), "--log", str(logs)),
        *("--max-trials", str(settings.episodes), "--max-frames", str(settings.frames)),
    ]
    train_vae = [
        *("vae_train.py", "--records", str(records), *places, "--epochs", "1000"),
        *("--max-steps", str(settings.vae_steps), "--z-size", "32", "--kl-tolerance", "0.5"),
        *("--learning-rate", "0.001", "--schedule", "cosine"),
    ]
    encode = ["series.py", "--records", str(records), "--weights", str(weights), "--series", str(series)]
    train_rnn = [
        *("rnn_train.py", "--series", str(series), *places),
        *("--steps", str(settings.rnn_steps), "--hidden-size", "256", "--evaluate-every", "100"),
    ]
    evolve = [
        *("train.py", "rnnenv", *places, "-n", str(POPULATION), "--num_episode", str(DREAMS)),
        *("--generations", str(settings.generations), "--temp", str(TEMPERATURE), "--components", "16"),
        *("--max-steps", "60"),
    ]
    card = [
        *("dreamduck", "evaluate-model", "--weights", str(weights), "--out", str(folder / "card")),
        *("--short", "--temp", str(TEMPERATURE)),
    ]
    films = {
        name: (
            "model.py",
            world,
            "render",
            str(best),
            str(SEED),
            "--weights",
            str(weights),
            "--video",
            path,
        )
        for name, world, path in (
            ("film-dream", "rnnenv", str(folder / "dream.mp4")),
            ("film-real", "realenv", str(folder / "real.mp4")),
        )
    }
    return [
        Stage("record", tuple(record), (), (records,)),
        Stage("vae", tuple(train_vae), (), (vae,)),
        Stage("series", tuple(encode), (vae,), (series,)),
        Stage("rnn", tuple(train_rnn), (vae,), (rnn,)),
        Stage("evolve", tuple(evolve), (rnn,), (best,)),
        Stage("card", tuple(card), (rnn,), (folder / "card" / "model.json",)),
        *(Stage(name, command, (rnn, best), (Path(command[-1]),)) for name, command in films.items()),
    ]


def best_controller(folder: Path) -> Path:
    """The controller that the search leaves."""
    return RunFiles.of(folder / "log", "rnnenv", DREAMS, POPULATION).path(".best.json")


class RandomActions:
    """Acts at random in N environments.

    Args:
        actions: the action space.
        seeds: N of them.
    """

    needs_frames = False

    def __init__(self, actions: ActionSpace, seeds: Sequence[int]) -> None:
        self._actions = actions
        self._streams = [seeding.generator(seed, KEY) for seed in seeds]

    def start(self, seeds: Sequence[int]) -> None:
        """Nothing is carried on."""

    def act(self, state: Any, frames: Any) -> Any:
        """The vectors (N, A)."""
        return np.stack([self._actions.sample(stream) for stream in self._streams])


def score(folder: Path, settings: QuickstartConfig) -> dict[str, Any]:
    """The controller and random actions in the real environment."""
    weights, count, steps = folder / "weights", settings.score_episodes, settings.score_steps
    controller = load_controller(best_controller(folder), weights)
    world = config.from_mapping(WorldConfig, {"weights": str(weights)})
    evaluator = make_evaluator("realenv", world, controller.form, threads=1)
    found = evaluator(EvalBatch(controller.theta[None], (SEED,), count, steps))
    environment = WorldModel.load(weights).gym_environment
    assert environment is not None
    seeds = [seeding.derive(SEED, episode) for episode in range(count)]
    vector = GymVector(environment, count)
    try:
        chance = run_episodes(vector, RandomActions(vector.action_space, seeds), seeds, steps)
    finally:
        vector.close()
    return {"controller": _summary(found), "random": _summary(chance)}


def _summary(returns: Returns) -> dict[str, float]:
    reward, length = returns.reward.ravel().astype(np.float64), returns.length.ravel()
    error = float(reward.std(ddof=1) / np.sqrt(len(reward)))
    return {"return": float(reward.mean()), "error": error, "length": float(length.mean())}


def figures(folder: Path) -> dict[str, float | None]:
    """The model's figures on episodes held out, by the names of `LEVELS`."""
    vae, rnn = (read_json(folder / "weights" / f"{name}.json", ConfigError) for name in ("vae", "rnn"))
    found = rnn["metrics"]["held_out"]
    values = vae["metrics"]["held_out"]["psnr"], found.get("reward_correlation"), found.get("end_auc")
    return dict(zip(LEVELS, values, strict=True))


def words(found: Mapping[str, float | None]) -> list[str]:
    """How good the model is, a line for each figure."""
    lines = []
    for name, (good, fair) in LEVELS.items():
        value = found[name]
        if value is None:
            lines.append(f"{name}: nothing to measure it by")
            continue
        level = "good" if value >= good else "fair" if value >= fair else "poor"
        lines.append(f"{name}: {value:.3g}, {level} (good from {good:g}, fair from {fair:g})")
    return lines


def verdict(scores: Mapping[str, Mapping[str, float]]) -> str:
    """Whether the controller of the dream is better than random actions, in words."""
    own, chance = scores["controller"], scores["random"]
    difference = own["return"] - chance["return"]
    error = float(np.hypot(own["error"], chance["error"]))
    text = (
        f"real return {own['return']:.4g} ± {own['error']:.2g} ({own['length']:.0f} steps), "
        f"random actions {chance['return']:.4g} ± {chance['error']:.2g} ({chance['length']:.0f} steps)"
    )
    if difference > 2 * error:
        return f"{text}: the dream taught something; train longer for more"
    if difference < -2 * error:
        return f"{text}: worse than random actions; record more, and train longer"
    return f"{text}: no difference that so few episodes can show; record more, and train longer"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "The whole way, small, for any Gymnasium environment: record, train, dream, evolve, evaluate.",
        "examples:\n  dreamduck quickstart --env CarRacing-v3\n"
        "  dreamduck quickstart --env mygame:MyGame-v0 --pixels render --frame-skip 4",
    )
    parser.add_argument(
        "--folder", default="quickstart", help="where everything goes (default: quickstart)"
    )
    parser.add_argument("--show", action="store_true", help="print the commands, run nothing")
    config.add_arguments(parser, QuickstartConfig)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run all stages that are not done, and say how good the model is."""
    arguments = build_parser().parse_args(argv)
    command_line.start_logging(arguments)
    settings, folder = config.from_arguments(QuickstartConfig, arguments), Path(arguments.folder)
    planned = stages(folder, settings)
    if arguments.show:
        for stage in planned:
            print(f"{stage.name}: {shlex.join(stage.argv)}")
        return
    search_here()
    # the commands of the stages find the module of the environment, too
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), os.getcwd()]))
    inspect(settings.environment)
    result = folder / "quickstart.json"
    with claim_report("quickstart", folder, [result], config.to_dict(settings)):
        seconds = run_stages(planned, folder)
        log.info("%d cores; real episodes of the controller and of random actions", cores())
        found, scores = figures(folder), score(folder, settings)
        write_json(result, {"figures": found, "scores": scores, "seconds": seconds})
    print("\n".join([*words(found), verdict(scores)]))
    print(f"card: {folder / 'card' / 'model.md'}; videos: {folder / 'dream.mp4'}, {folder / 'real.mp4'}")
    print(f"minutes: {sum(seconds.values()) / 60:.1f}")
