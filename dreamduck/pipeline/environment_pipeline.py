"""The pipeline of any Gymnasium environment: its settings, its stages, and its report.

Each stage is a command that anyone can type; a second start continues where the first was stopped."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamduck.common import config
from dreamduck.common.config import check, option, part
from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.common.processes.threads import cores
from dreamduck.common.storage import read_json, write_json
from dreamduck.controllers.controller_file import RunFiles
from dreamduck.evaluation.final_evaluation import claim_report
from dreamduck.pipeline.environment_score import SEED, figures, score, verdict, words
from dreamduck.pipeline.stages import Stage, run_stages
from dreamduck.pipeline.training_stages import (
    Folders,
    TrainingConfig,
    card_stage,
    check_features,
    check_recordings,
    search_stage,
    training_stages,
)
from dreamduck.recordings.action_policies import DEFAULT_MIX
from dreamduck.recordings.sources.gym_environment import GymEnvironment, inspect
from dreamduck.search.recipe import CMA, PPO, ppo_files
from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.kinds import KINDS, SHIPPED

log = logging.getLogger(__name__)

SWEEP = "gap.json"  # of the temperature sweep
ROUNDS = "rounds"  # folder of the rounds
RECORDED = ("seed", "policies", "episodes", "frames")  # decide what is recorded, as the environment does
DREAM, IMPROVED = "controller", "improved"  # names of controllers in the scores


@dataclasses.dataclass(frozen=True)
class EnvironmentConfig(TrainingConfig):
    """The settings of every stage; the defaults are small."""

    environment: GymEnvironment = part(GymEnvironment)
    policies: tuple[str, ...] = option(DEFAULT_MIX, "behaviour policies and their weights: name=weight")
    episodes: int = option(100, "episodes to record", low=4)
    frames: int = option(200, "longest recorded episode", low=20)
    vae_epochs: int = option(1000, "epochs of the VAE at most", low=1)
    vae_steps: int = option(400, "steps of the VAE at most; 0 for all", low=0)
    vae_batch: int = option(100, "frames in a step of the VAE", low=1)
    kl_tolerance: float = option(0.5, "KL divergence of the VAE that is not penalised", low=0.0)
    z_size: int = option(32, "size of the latent vector", low=1)
    dynamics: str = option(SHIPPED, "kind of the dynamics", choices=tuple(KINDS))
    hidden_size: int = option(256, "units of the dynamics", low=1)
    units: int | None = option(None, "units of the hidden layers of categorical dynamics", low=1)
    rnn_steps: int | None = option(300, "training steps of the dynamics", low=1)
    temperature: float = option(1.0, "temperature of the dream", above=0.0)
    components: int = option(16, "principal components to search along; 0: every weight", low=0)
    population: int = option(32, "candidates in a generation", low=2)
    num_episode: int = option(8, "dreams of each candidate", low=1)
    dream_steps: int = option(60, "longest dream", low=1)
    generations: int = option(40, "generations of the search in the dream", low=1)
    rounds: int = option(
        0, "rounds: record the controller, continue the training of the dynamics and the search", low=0
    )
    round_episodes: int = option(50, "episodes to record in each round", low=1)
    round_rnn_steps: int | None = option(
        None, "training steps of the dynamics in each round; by default as many as at first", low=1
    )
    round_ppo_steps: int | None = option(
        None, "training steps of PPO in each round; by default as many as at first", low=1
    )
    round_generations: int | None = option(
        None, "generations of the search in each round; by default as many as at first", low=1
    )
    round_score_episodes: int | None = option(
        None,
        "real episodes to evaluate a round by, and as many to select it; by default a quarter of those of "
        "a score, at least 16",
        low=1,
    )
    end_cost: float = option(0.0, "return that an end costs, for the steps beyond a short dream", low=0.0)
    temperatures: tuple[str, ...] = option(
        (), "evolve at each, for a table of dream against environment; that of the dream is one of them"
    )
    score_episodes: int = option(10, "real episodes to evaluate each controller by", low=2)
    score_steps: int = option(1000, "longest of these episodes", low=1)
    improve: bool = option(False, "continue the search in the real environment, through the model")
    improve_population: int = option(16, "candidates in a generation there", low=2)
    improve_episodes: int = option(4, "real episodes of each of them", low=1)
    improve_generations: int = option(50, "generations of the search there", low=1)
    improve_sigma: float = option(0.05, "first step size of the search there", above=0.0)
    improve_ppo_steps: int = option(200_000, "training steps of PPO there", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)
        if not self.environment.env:
            raise ConfigError("env: expected an id of Gymnasium, got none; give --env ID")
        check_features(self.features, self.dynamics)
        if self.units and self.dynamics != CategoricalDynamics.kind:
            raise ConfigError(f"units: of no effect with {self.dynamics} dynamics; leave --units out")
        if self.temperatures and not self._swept:
            raise ConfigError(
                f"temperatures: expected {self.temperature} among them, that of the dream, "
                f"got {','.join(self.temperatures)}"
            )

    @property
    def _swept(self) -> str:
        """The temperature of the dream as `temperatures` has it; "" where it is none of them."""
        return next((text for text in self.temperatures if _number(text) == self.temperature), "")

    def controllers(self, folder: Path) -> dict[str, Path]:
        """The controllers that the stages leave, by their names in the scores."""
        logs = Folders(folder).log
        found = {DREAM: self.first(folder) if not self.rounds else folder / ROUNDS / "best.json"}
        if self.improve:
            files = (
                RunFiles.of(logs, "realenv", self.improve_episodes, self.improve_population)
                if self.optimizer == CMA
                else ppo_files(logs, "realenv")
            )
            found[IMPROVED] = files.path(".best.json")
        return found

    def first(self, folder: Path) -> Path:
        """The controller of the first search in the dream."""
        if self.temperatures:
            return self.best(sweep_folder(folder) / f"temperature-{self._swept}")
        return self.best(Folders(folder).log)

    def model(self, folder: Path) -> Folders:
        """The folders, with the world model that the controllers drive with."""
        return Folders(folder, folder / ROUNDS / "weights" if self.rounds else None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def sweep_folder(folder: Path) -> Path:
    """Where the temperature sweep goes."""
    return folder / "temperatures"


def stages(folder: Path, settings: EnvironmentConfig) -> list[Stage]:
    """The commands, in their order."""
    folders, controllers = Folders(folder), settings.controllers(folder)
    chosen, best = settings.model(folder), controllers[DREAM]
    trained = training_stages(
        folders,
        settings,
        record=[*config.flags(settings.environment), "--policies", ",".join(settings.policies)],
        vae=["--z-size", str(settings.z_size)],
        rnn=[
            *("--dynamics", settings.dynamics, "--hidden-size", str(settings.hidden_size)),
            *(("--units", str(settings.units)) if settings.units else ()),
            *("--sequence", "50", "--evaluate-every", "100"),
        ],
    )
    evolve = (
        _sweep(folders, settings, settings.first(folder))
        if settings.temperatures
        else search_stage(folders, settings)
    )
    videos = {"video-dream": ("rnnenv", "dream.mp4"), "video-real": ("realenv", "real.mp4")}
    shown = controllers.get(IMPROVED, best)
    return [
        *trained,
        evolve,
        *([_iterate(folders, settings, settings.first(folder), best)] if settings.rounds else []),
        *([_improve(chosen, settings, best, shown)] if settings.improve else []),
        card_stage(chosen, "--temp", str(settings.temperature)),
        *(
            Stage(
                name,
                (
                    *("model.py", world, "render", str(shown), str(SEED)),
                    *("--weights", str(chosen.weights), "--video", str(folder / file)),
                ),
                (chosen.rnn, shown),
                (folder / file,),
            )
            for name, (world, file) in videos.items()
        ),
    ]


def _sweep(folders: Folders, settings: EnvironmentConfig, best: Path) -> Stage:
    """The search at each temperature."""
    out = sweep_folder(folders.root)
    command = [
        *("dreamduck", "temperature-sweep", "--weights", str(folders.weights), "--out", str(out)),
        *("--temperatures", ",".join(settings.temperatures), *settings.sweep_flags),
        *("--eval-episodes", str(settings.score_episodes)),
    ]
    return Stage("evolve", tuple(command), (folders.rnn,), (out / SWEEP, best))


def _swept_rows(folder: Path) -> list[dict[str, Any]]:
    """What the sweep found at each temperature: in the dream and in the real environment."""
    rows = read_json(sweep_folder(folder) / SWEEP, CheckpointError)["rows"]
    return [{name: row[name] for name in ("temperature", "dream", "road")} for row in rows]


def _round_rows(folder: Path) -> list[dict[str, Any]]:
    """What each round gave: in the dream, in the real environment, in the episodes that select."""
    rows = read_json(folder / ROUNDS / "loop.json", CheckpointError)
    return [{name: row[name] for name in ("round", "dream", "road", "choice")} for row in rows]


def _iterate(folders: Folders, settings: EnvironmentConfig, start: Path, best: Path) -> Stage:
    """The rounds, from the controller of the first search."""
    out = folders.root / ROUNDS
    search = config.replace(
        settings,
        generations=settings.round_generations or settings.generations,
        ppo_steps=settings.round_ppo_steps or settings.ppo_steps,
    )
    steps = settings.round_rnn_steps or settings.rnn_steps
    command = [
        *("dreamduck", "iterate", str(start), "--weights", str(folders.weights), "--out", str(out)),
        *("--records", str(folders.records), "--rounds", str(settings.rounds)),
        *("--episodes", str(settings.round_episodes), "--drive-steps", str(settings.frames)),
        *(("--rnn-steps", str(steps)) if steps else ()),
        *("--temp", str(settings.temperature), *search.flags),
        *("--eval-episodes", str(settings.round_score_episodes or max(16, settings.score_episodes // 4))),
    ]
    return Stage(
        "iterate", tuple(command), (folders.rnn, start), (best, out / "weights" / folders.rnn.name)
    )


def _improve(folders: Folders, settings: EnvironmentConfig, start: Path, best: Path) -> Stage:
    """The search, or the training by PPO, in the real environment, from the controller of the dream."""
    where = ["realenv", "--weights", str(folders.weights), "--log", str(folders.log), "--start", str(start)]
    if settings.optimizer == PPO:
        command = ["dreamduck", "train-controller", *where, *settings.seed_flags]
        command += ["--steps", str(settings.improve_ppo_steps), "--max-steps", str(settings.score_steps)]
        return Stage("improve", tuple(command), (folders.rnn, start), (best,))
    command = [
        *("train.py", *where, "-n", str(settings.improve_population)),
        *("--num_episode", str(settings.improve_episodes), "--max-steps", str(settings.score_steps)),
        *("--generations", str(settings.improve_generations), "--seeds", "common"),
        *("--components", str(settings.components)),
        *("--covariance", "full" if settings.components else "diagonal"),
        *("--sigma_init", str(settings.improve_sigma), "--weight_decay", "0"),
        *settings.search_seed,
    ]
    return Stage("improve", tuple(command), (folders.rnn, start), (best,))


def run(name: str, folder: Path, settings: EnvironmentConfig) -> Mapping[str, Any]:
    """Run all stages that are not done, evaluate, print how good all is, and write `<name>.json`.

    Args:
        name: of the report.
        folder: where everything goes.
        settings: of the stages.
    Returns:
        What the file holds: "figures" of the model, "scores" of the controllers, "temperatures": rows of
        the sweep, "seconds" of each stage.
    Raises:
        ConfigError: the environment cannot be made, has no images, or has actions of no known kind; or the
            folder has other recordings.
        TrainingError: a stage failed.
    """
    # the commands of the stages find the module of the environment, too
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), os.getcwd()]))
    inspect(settings.environment)
    check_recordings(folder, name, settings, (*RECORDED, *config.options(GymEnvironment)))
    folders, result = Folders(folder), folder / f"{name}.json"
    with claim_report(name, folder, [result], config.to_dict(settings)):
        seconds = run_stages(stages(folder, settings), folder)
        log.info("%d cores; real episodes of the controllers and of random actions", cores())
        controllers, folders = settings.controllers(folder), settings.model(folder)
        scores = score(folders.weights, controllers, settings.score_episodes, settings.score_steps)
        measured = figures(folders.weights)
        found = {
            "figures": measured,
            "scores": scores,
            "temperatures": _swept_rows(folder) if settings.temperatures else [],
            "rounds": _round_rows(folder) if settings.rounds else [],
            "seconds": seconds,
        }
        write_json(result, found)
    print("\n".join([*words(measured), *(verdict(scores, one) for one in controllers)]))
    print(f"card: {folders.card / 'model.md'}; videos: {folder / 'dream.mp4'}, {folder / 'real.mp4'}")
    print(f"minutes: {sum(seconds.values()) / 60:.1f}")
    return found
