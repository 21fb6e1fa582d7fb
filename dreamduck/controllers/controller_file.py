"""Controller files, formed as the original code writes them, and the card beside them.

A run writes `<world>.cma.<episodes>.
<population>.json` (the mean of the search), `.best.json` (the best at an evaluation), `.hist.json`,
`.hist_best.json` and `.log.json`. They hold numbers alone, so what they were made from stands in
`.card.json`. Source: WorldModelsExperiments, `train.py`."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ControllerError
from dreamduck.common.readers import to_float32
from dreamduck.common.storage import PathLike, read_json, replacing, write_json
from dreamduck.controllers.policy import Controller, ControllerForm, Floats, infer_form
from dreamduck.recordings.sources import DRIVING, ActionSpace
from dreamduck.recordings.sources.action_space import DRIVE

DECIMALS = 4
# The endings of a run's files; the longest first, so that a stem is found rightly.
ENDINGS = (".hist_best.json", ".best.json", ".hist.json", ".log.json", ".card.json", ".json")
AGENT = ".zip"  # of the agent that a controller was made of, where there is one
HISTORIES = (".hist.json", ".hist_best.json")


def rounded(theta: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Theta to four decimals, as files hold it."""
    return np.asarray(theta, dtype=np.float64).round(DECIMALS)


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """The files of one run: `folder/<world>.<optimizer>.<episodes>.<population>` and endings."""

    base: Path

    @classmethod
    def of(
        cls, folder: PathLike, world: str, episodes: int, population: int, optimizer: str = "cma"
    ) -> RunFiles:
        """The files of a run by its settings."""
        return cls(Path(folder) / f"{world}.{optimizer}.{episodes}.{population}")

    def path(self, ending: str) -> Path:
        """A file of this run, for example `path(".best.json")`."""
        return self.base.with_name(self.base.name + ending)

    def write_theta(self, theta: npt.ArrayLike) -> None:
        """Write the mean of the search."""
        text = json.dumps([rounded(theta).tolist()], sort_keys=True, indent=2, separators=(",", ": "))
        _write(self.path(".json"), text)

    def write_history(self, history: list[list[float]]) -> None:
        """Write one row a generation.

        Args:
            history: rows of generation, seconds, mean, least, greatest and standard deviation of
                the candidates' returns, root mean square step size, mean and greatest length.
        """
        _write(self.path(".hist.json"), json.dumps(history, indent=0, separators=(",", ":")))

    def write_evaluations(
        self, log: list[list[Any]], best_history: list[list[Any]], best_theta: Any, best_reward: float
    ) -> None:
        """Write what evaluations found.

        Args:
            log: rows of generation, mean return, theta.
            best_history: rows of generation, seconds and the words and numbers of the original.
        """
        _write(self.path(".log.json"), json.dumps(log))
        self.write_best(best_theta, best_reward)
        text = json.dumps(best_history, indent=0, separators=(",", ":"))
        _write(self.path(".hist_best.json"), text)

    def write_best(self, theta: npt.ArrayLike, reward: float) -> None:
        """Write the best controller and its mean return."""
        best = [rounded(theta).tolist(), reward]
        _write(self.path(".best.json"), json.dumps(best, sort_keys=True, indent=0, separators=(",", ": ")))

    def write_card(self, card: dict[str, Any]) -> None:
        """Write how the run's controllers were made."""
        write_json(self.path(".card.json"), card)


def run_of(path: PathLike) -> RunFiles:
    """The run that a file belongs to, by its name."""
    path = Path(path)
    for ending in ENDINGS:
        if path.name.endswith(ending):
            return RunFiles(path.with_name(path.name.removesuffix(ending)))
    return RunFiles(path)


def read_theta(path: PathLike) -> npt.NDArray[np.float64]:
    """The theta in a controller file, of ours or of the original code.

    Four forms are known: [theta], [theta, return], the log's [[generation, return, theta], ...], of
    which the row with the greatest return is taken, and the bare theta.

    Raises:
        ControllerError: no such file, or it holds no theta of finite numbers.
    """
    files = run_of(path)
    if Path(path) in [files.path(ending) for ending in HISTORIES]:
        raise ControllerError(
            f"{path}: expected a controller, got the history of a search; its controller is "
            f"{files.path('.best.json')}"
        )
    value = read_json(path, ControllerError)
    first = _theta_of(value) if isinstance(value, list) and value else None
    if first is not None:
        try:
            theta = np.asarray(first, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            theta = np.zeros((0, 0))
        if theta.ndim == 1 and theta.size and not _has_words(first):
            if np.isfinite(theta).all():
                return theta
            raise ControllerError(f"{path}: theta holds numbers that are not finite; train it again")
    raise ControllerError(
        f"{path}: expected a controller, [[number, ...]], [[number, ...], return] or a log of "
        "[generation, return, [number, ...]]; write one with dreamduck evolve"
    )


def _theta_of(value: list[Any]) -> Any:
    """The theta in what a controller file holds; None where it is of another form."""
    if all(_is_log_row(row) for row in value):
        return max(value, key=lambda row: row[1])[2]
    if not isinstance(value[0], list):
        return value  # a bare theta
    alone = len(value) == 1
    with_return = len(value) == 2 and isinstance(value[1], (int, float)) and not isinstance(value[1], bool)
    return value[0] if alone or with_return else None


def read_card(path: PathLike) -> dict[str, Any]:
    """The card beside a controller file; empty where there is none.

    Raises:
        ControllerError: the card is damaged.
    """
    card_path = run_of(path).path(".card.json")
    if not os.path.lexists(card_path):
        return {}
    card = read_json(card_path, ControllerError, "delete it to read theta alone")
    if not isinstance(card, dict):
        raise ControllerError(f"{card_path}: expected a JSON object; delete it to read theta alone")
    return card


def read_controller(
    path: PathLike,
    z_size: int,
    hidden_size: int,
    cell_size: int | None = None,
    actions: ActionSpace = DRIVING,
) -> Controller:
    """A controller file for a world model of these sizes and these actions.

    The card beside the file says its form; without one the form follows from the length of theta.

    Raises:
        ControllerError: the file is damaged, or of a size that does not fit the world model.
    """
    theta, card = read_theta(path), read_card(path)
    try:
        described = _form_of(card)
        fits = described is not None and described.size == theta.size
        if fits and described is not None:
            if described != dataclasses.replace(
                described, z_size=z_size, hidden_size=hidden_size, cell_size=cell_size
            ):
                raise ControllerError(
                    f"made for a world model with {described.z_size} latents, {described.hidden_size} "
                    f"units and {described.c_width} numbers of c, got one with {z_size}, {hidden_size} and "
                    f"{hidden_size if cell_size is None else cell_size}; choose its weights with --weights"
                )
            form = described
        else:
            form = infer_form(theta.size, z_size, hidden_size, cell_size, actions.size, actions.kind)
        if form.action_kind != actions.kind or (form.actions != actions.size and actions != DRIVING):
            raise ControllerError(
                f"expected a controller of {actions.size} {actions.kind} actions, got one of "
                f"{form.actions} {form.action_kind} actions; name its own weights with --weights"
            )
        if actions == DRIVING and form.actions not in (1, actions.size):
            raise ControllerError(
                f"expected one action (steering) or two (throttle and steering), got a controller of "
                f"{form.actions} actions, for another kind of car"
            )
        return Controller(form, to_float32(theta))
    except ControllerError as err:
        raise ControllerError(f"{path}: {err}") from err


def to_card(form: ControllerForm, theta: Floats | npt.NDArray[np.float64], **facts: Any) -> dict[str, Any]:
    """A card: the form, a summary of theta, and whatever facts are given."""
    numbers = np.asarray(theta, dtype=np.float64)
    described = {
        name: value for name, value in dataclasses.asdict(form).items() if value not in (None, DRIVE)
    }
    return {
        "form": described,
        "parameters": form.size,
        "theta_rms": round(float(np.sqrt(np.mean(numbers**2))), 6),
        **facts,
    }


def _form_of(card: dict[str, Any]) -> ControllerForm | None:
    """The form that a card describes."""
    described = card.get("form")
    if described is None:
        return None
    try:
        return ControllerForm(**described)
    except TypeError as err:
        raise ControllerError(f"the card's form is not understood ({err}); delete the card") from err


def _is_log_row(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 3
        and isinstance(row[0], int)
        and isinstance(row[1], (int, float))
        and isinstance(row[2], list)
    )


def _has_words(values: Any) -> bool:
    """Whether a list holds anything but plain numbers (numpy would read "1" and true as numbers)."""
    return any(isinstance(v, (bool, str)) or v is None for v in values)


def _write(path: Path, text: str) -> None:
    """Write text as the original does, with no line break at its end."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
