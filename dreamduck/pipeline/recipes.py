"""Recipes: the two experiments of the paper, for two cores.

Source: Ha & Schmidhuber 2018, sections 3 (CarRacing) and 4 (Doom: Take Cover), tables 1 and 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dreamduck.common.config import from_mapping
from dreamduck.pipeline.environment_pipeline import EnvironmentConfig
from dreamduck.search.recipe import PPO
from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.mdn_rnn import MDNRNN
from dreamduck.world_model.vae.layout import FOCAL

DUCKIETOWN = "duckietown"


class Figure(NamedTuple):
    """A figure of the paper: mean and standard deviation of the return over 100 episodes."""

    mean: float
    spread: float


class Recipe(NamedTuple):
    """An experiment.

    Attributes:
        extra: of pip, that brings the environment.
        packages: that the extra brings, by the names they are imported by.
        options: of `EnvironmentConfig`, where they differ from its defaults.
        solved: return from which on the paper counts the environment as solved.
        real: the paper's results in the real environment, by their names.
        temperatures: the paper's results by the temperature: in the dream, in the real environment.
    """

    extra: str
    packages: tuple[str, ...]
    options: Mapping[str, Any]
    solved: float
    real: Mapping[str, Figure]
    temperatures: Mapping[float, tuple[Figure, Figure]] = {}

    @property
    def settings(self) -> EnvironmentConfig:
        """All settings of the pipeline."""
        return from_mapping(EnvironmentConfig, self.options)


# A step is 4 tics of the game, which skips the frames between by itself: three times as quick as showing
# them. The reward is 1 for each tic that is survived, so a return counts tics, as the paper does. An
# episode is cut after 525 steps: 2,100 tics, a minute, which today's game does not do by itself. The rows
# around the horizon are kept: monsters and fireballs are twice as high in them as in the whole image.
DOOM = Recipe(
    "doom",
    ("vizdoom",),
    {
        "env": "vizdoom.gymnasium_wrapper:VizdoomTakeCover-v1",
        "env_args": '{"frame_skip": 4}',
        "crop": ("72", "72", "0", "0"),
        "policies": ("repeat=3", "random=1"),
        "episodes": 2000,
        "frames": 525,
        "vae_steps": 2000,
        "vae_batch": 64,
        "vae_loss": FOCAL,
        "z_size": 64,
        "dynamics": MDNRNN.kind,
        "hidden_size": 512,
        "rnn_steps": 2500,
        "temperature": 1.15,
        "temperatures": ("0.1", "0.5", "1.0", "1.15", "1.3"),
        "optimizer": PPO,
        "dream_steps": 525,
        "action_delay": 2,
        "latent_shift": 0.3,
        "rounds": 1,
        "round_episodes": 200,
        "round_rnn_steps": 600,
        "round_ppo_steps": 2_000_000,
        "round_score_episodes": 100,
        "score_episodes": 100,
        "score_steps": 525,
    },
    750.0,
    {"evolved in the dream at 1.15": Figure(1092, 556), "random actions": Figure(210, 108)},
    {
        0.1: (Figure(2086, 140), Figure(193, 58)),
        0.5: (Figure(2060, 277), Figure(196, 50)),
        1.0: (Figure(1145, 690), Figure(868, 511)),
        1.15: (Figure(918, 546), Figure(1092, 556)),
        1.3: (Figure(732, 269), Figure(753, 139)),
    },
)
# Random actions leave the road within seconds, and recordings of them show little of the track. An episode
# is cut after 1,000 frames, here 250 steps. The dynamics are categorical: an MDN-RNN draws each latent by
# itself, and its roads are straight at low temperatures and break into pieces at 1.
CARRACING = Recipe(
    "carracing",
    ("Box2D", "pygame"),
    {
        "env": "CarRacing-v3",
        "crop": ("0", "12", "0", "0"),
        "frame_skip": 4,
        "policies": ("dreamduck.recordings.racing_policy:racing=4", "smooth=1"),
        "episodes": 320,
        "frames": 250,
        "vae_steps": 1200,
        "vae_batch": 64,
        "z_size": 32,
        "dynamics": CategoricalDynamics.kind,
        "hidden_size": 256,
        "units": 256,
        "rnn_steps": 1600,
        "temperature": 1.0,
        "components": 32,
        "population": 64,
        "num_episode": 16,
        "dream_steps": 100,
        "generations": 45,
        "action_delay": 2,
        "latent_shift": 0.2,
        "rounds": 4,
        "round_episodes": 96,
        "round_rnn_steps": 600,
        "round_generations": 30,
        "score_episodes": 100,
        "score_steps": 250,
        "improve_generations": 45,
    },
    900.0,
    {
        "evolved in the real environment, z and h": Figure(906, 21),
        "evolved in the real environment, z alone": Figure(632, 251),
    },
)
RECIPES = {"doom": DOOM, "carracing": CARRACING}


def table(recipe: Recipe, found: Mapping[str, Any]) -> str:
    """The results beside the paper's, as Markdown.

    Args:
        recipe: the experiment.
        found: what `environment_pipeline.run` gave.
    """
    lines = ["| controller | return in the real environment |", "| --- | ---: |"]
    scores = {name: (one["return"], one["spread"]) for name, one in found["scores"].items()}
    names = {"controller": "trained in the dream", "improved": "then in the real environment"}
    lines += [f"| {names.get(name, 'random actions')} | {_cell(*one)} |" for name, one in scores.items()]
    lines += [f"| the paper: {name} | {_cell(*one)} |" for name, one in recipe.real.items()]
    lines.append(f"| the paper: solved from | {recipe.solved:,.0f} |")
    if rounds := found.get("rounds"):
        lines += ["", f"| after rounds | in the dream | real, {rounds[0]['road']['episodes']} episodes |"]
        lines.append("| ---: | ---: | ---: |")
    for row in rounds or ():
        dream, road = row["dream"], row["road"]["return"]
        lines.append(f"| {row['round']} | {_cell(dream['mean'], dream['std'])} | {_cell(*road)} |")
    if not found["temperatures"]:
        return "\n".join(lines) + "\n"
    lines += ["", "| temperature | in the dream | real | the paper: in the dream | real |"]
    lines += ["| ---: | ---: | ---: | ---: | ---: |"]
    for row in found["temperatures"]:
        papers = recipe.temperatures.get(row["temperature"])
        cells = [_cell(row["dream"]["mean"], row["dream"]["std"]), _cell(*row["road"]["return"])]
        cells += ["" if one is None else _cell(*one) for one in papers or (None, None)]
        lines.append(f"| {row['temperature']:g} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(mean: float, spread: float) -> str:
    return f"{mean:,.0f} ± {spread:,.0f}"
