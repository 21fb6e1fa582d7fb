"""The entries of the scoreboard: a policy, its file, and its training budget.

Agents of reinforcement learning stand behind all stages, and load
PyTorch: `registration.agents` finds the module that reads them, and only when there is such a row."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

from dreamduck.common.errors import CheckpointError, ConfigError, ControllerError, WeightsError
from dreamduck.common.readers import in_words
from dreamduck.common.storage import fingerprint, read_json
from dreamduck.controllers.controller_file import read_card
from dreamduck.controllers.factory import WorldConfig, check_model, model_sizes
from dreamduck.registration import agents

BUILT_IN = ("standing still", "straight", "random", "pure pursuit")
CARDS = ("vae.json", "rnn.json")  # of the world model


@dataclasses.dataclass(frozen=True)
class Entry:
    """A policy of the scoreboard.

    Attributes:
        name: as the table shows it.
        kind: "built-in", "controller", "agent" or "policy".
        source: the controller's or agent's file, or MODULE:FUNCTION:ARGUMENT of a policy.
    """

    name: str
    kind: str = "built-in"
    source: str = ""

    def fingerprint(self) -> str:
        """The file's fingerprint; empty for a policy without a file."""
        path = Path(self.source.rsplit(":", 1)[-1])
        return fingerprint(path) if self.source and path.is_file() else ""

    def sees_through_model(self) -> bool:
        """Whether it sees [z, c, h] of the world model, and not frames or poses."""
        if self.kind != "agent":
            return self.kind == "controller"
        return not agents().about(self.source).sees_frames


def load_policy(source: str, cars: int) -> tuple[Any, ...]:
    """A policy on frames from MODULE:FUNCTION or MODULE:FUNCTION:ARGUMENT.

    The function is called with the argument, if there is one, and `num_cars`; it returns a function
    from frames to actions, or that and one to call when episodes begin.

    Raises:
        ConfigError: there is no such function.
    """
    module, _, rest = source.partition(":")
    name, _, argument = rest.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as err:
        raise ConfigError(
            f"policy: expected MODULE:FUNCTION or MODULE:FUNCTION:ARGUMENT, got {source!r} ({err})"
        ) from err
    made = function(*([argument] if argument else []), num_cars=cars)
    return made if isinstance(made, tuple) else (made,)


def check_agent(source: str, world: WorldConfig, strict: bool = False) -> None:
    """Refuse an agent's file that is damaged, or that cannot drive with these settings.

    Args:
        strict: refuse one that was made with another world model, too.
    Raises:
        ControllerError: it was made with another world model.
        CheckpointError: says what does not fit.
    """
    found = agents().about(source)
    if found.sees_frames:
        wanted: tuple[int, ...] = world.road.simulation.frame_shape
    else:
        wanted = (sum(model_sizes(world.model.folder)),)
    if found.shape != wanted:
        raise CheckpointError(f"{source}: learned from observations {found.shape}, here they are {wanted}")
    if not found.sees_frames:
        check_model(source, found.weights, world.model.folder, strict)


def training_budget(row: Entry, folder: Path) -> dict[str, Any] | None:
    """The training budget of a policy; None where it is not known.

    Args:
        folder: of the world model.
    Returns:
        "simulator_steps", "dream_steps" and "minutes" of its own training; and, where it sees
        through the world model, under "model" the "simulator_steps" that were recorded for the
        model, and the "minutes" that its two trainings took.
    """
    if row.kind == "agent":
        found = agents().about(row.source)
        steps, seconds, dreamt = found.steps, found.seconds, found.dreamt
    elif row.kind == "controller":
        card = read_card(row.source)
        if not {"world_steps", "seconds", "world"} <= set(card):
            return None
        with in_words(row.source, ControllerError, "its card is damaged", "delete the card"):
            steps, seconds = int(card["world_steps"]), float(card["seconds"])
            dreamt = card["world"]["env"] == "rnnenv"
    else:
        return None
    budget: dict[str, Any] = {
        "simulator_steps": 0 if dreamt else int(steps),
        "dream_steps": int(steps) if dreamt else 0,
        "minutes": round(float(seconds) / 60, 1),
    }
    model = _model_budget(folder) if row.sees_through_model() else None
    return budget if model is None else {**budget, "model": model}


def _model_budget(folder: Path) -> dict[str, Any] | None:
    paths = [folder / name for name in CARDS]
    cards: list[Any] = [read_json(path, WeightsError) if path.exists() else None for path in paths]
    if not all(isinstance(card, dict) and "seconds" in card for card in cards):
        return None  # weights of another program carry no cards
    vae, rnn = (dict(card) for card in cards)
    with in_words(folder, WeightsError, "a card is damaged", "copy the weights and their cards again"):
        return {
            "simulator_steps": int(vae["data"]["frames"]),
            "minutes": round((vae["seconds"] + rnn["seconds"]) / 60, 1),
        }
