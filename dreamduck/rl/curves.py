"""Learning curves: copies an agent with a card of its training, and plots the curves of such cards."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line
from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.common.extras import versions
from dreamduck.common.plot import figure
from dreamduck.common.storage import PathLike, copy_file, fingerprint, read_json, write_json

COLUMNS = ("misc/total_timesteps", "misc/time_elapsed", "eprewmean", "eplenmean")  # of progress.csv
CURVE = ("steps", "seconds", "reward", "length")  # the same in a card
MOST_POINTS = 150
PACKAGES = ("numpy", "torch", "stable-baselines3", "sb3-contrib", "gymnasium", "numba")
EXAMPLES = """
examples:
  dreamduck learning-curves keep models/dreamduck__ppo2 --log_path=train_logs --out=log/env.ppo2
  dreamduck learning-curves draw log/*.ppo2.card.json --out=learning.png"""


def read_curve(folder: PathLike) -> dict[str, list[float]]:
    """The learning curve in a run's `progress.csv`, thinned out to `MOST_POINTS`.

    Returns:
        Lists of one length: "steps" and "seconds" since the beginning, "reward" and "length" of the
        last 100 episodes.
    Raises:
        ConfigError: no such file, or other columns.
    """
    path = Path(folder) / "progress.csv"
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: expected the progress.csv of a training, got no regular file")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            entries = [[float(entry[name]) for name in COLUMNS] for entry in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as err:
        raise ConfigError(f"{path}: expected the progress.csv of a training ({err})") from err
    entries = [entry for entry in entries if all(math.isfinite(value) for value in entry)]
    if not entries:
        raise ConfigError(f"{path}: no episode has ended yet; train for longer")
    stride = math.ceil(len(entries) / MOST_POINTS)
    kept = [*entries[:-1:stride], entries[-1]]
    digits = (0, 1, 4, 2)
    return {
        name: [round(entry[index], digits[index]) for entry in kept] for index, name in enumerate(CURVE)
    }


def keep(
    agent: PathLike,
    log_path: PathLike,
    out: PathLike,
    command: str,
    scores: str | None,
    fresh: bool = False,
) -> Path:
    """Copy an agent to `<out>.zip`, and write `<out>.card.json`: how it was made, and its curve.

    Args:
        agent: a file of --save_path.
        log_path: the folder of its logs.
        out: path of the copy, without suffix.
        command: the command line of the training.
        scores: a scoreboard's `scores.json` with this agent.
        fresh: overwrite another agent of that name.
    Returns:
        The card's path.
    Raises:
        CheckpointError: the agent cannot be read.
        ConfigError: the logs or the scores cannot, or another agent is there.
    """
    from dreamduck.rl.agents import acting, agent_file  # they load PyTorch, which plots do not need

    about, save = acting.about(agent), agent_file.read(agent)
    assert save.card is not None  # checked by `about`
    card = {
        "kind": "agent",
        "env": about.env_id,
        "env_kwargs": save.card["env_kwargs"],
        "command": command,
        "plan": save.card["plan"],
        "steps": about.steps,
        "seconds": round(about.seconds, 1),
        "versions": versions(PACKAGES),
        "agent": fingerprint(save.path),
        "scores": [] if scores is None else _scores(Path(scores), fingerprint(save.path)),
        "curve": read_curve(log_path),
    }
    target = Path(out)
    copy = target.with_name(target.name + ".zip")
    if copy.exists() and not fresh and not (copy.is_file() and fingerprint(copy) == card["agent"]):
        raise ConfigError(f"{copy}: expected no such file, got another agent; give --fresh to overwrite it")
    copy_file(save.path, copy)
    path = target.with_name(target.name + ".card.json")
    write_json(path, card)
    return path


def read_card(path: PathLike) -> dict[str, Any]:
    """A card that `keep` wrote.

    Raises:
        CheckpointError: missing, damaged, or another kind of file.
    """
    card = read_json(path, CheckpointError)
    curve = card.get("curve") if isinstance(card, dict) else None
    columns: list[Any] = [curve.get(name) for name in CURVE] if isinstance(curve, dict) else []
    sound = columns and all(isinstance(c, list) and 0 < len(c) == len(columns[0]) for c in columns)
    if not sound or card.get("kind") != "agent" or not isinstance(card.get("env"), str):
        raise CheckpointError(
            f"{path}: expected the card of an agent, with its curve; write it with `keep`"
        )
    return card


def draw(paths: Sequence[PathLike], out: PathLike) -> None:
    """Plot the learning curves of cards side by side: reward by steps.

    Args:
        paths: of the cards.
        out: the PNG file.
    Raises:
        CheckpointError: a card cannot be read.
    """
    cards = [read_card(path) for path in paths]
    with figure(out, 4.6 * len(cards), 3.4) as drawn:
        places = drawn.subplots(1, len(cards), squeeze=False)[0]
        for index, (place, card) in enumerate(zip(places, cards, strict=True)):
            curve = card["curve"]
            place.plot([steps / 1e6 for steps in curve["steps"]], curve["reward"], color=f"C{index}")
            place.set_title(f"{card['env']}, {card['seconds'] / 60:.0f} minutes")
            place.set(xlabel="million steps", ylabel="reward of an episode, last 100", xlim=(0, None))
            place.grid(alpha=0.3)


def _scores(path: Path, agent: str) -> list[dict[str, Any]]:
    """A scoreboard's results of this file, by its fingerprint."""
    board = read_json(path, ConfigError)
    try:
        mine = [entry for entry in board["entries"] if entry["key"]["fingerprint"] == agent]
        return [
            {
                "map": entry["key"]["world"]["map_name"],
                "simulator": entry["key"]["world"]["simulator"],
                "seconds": entry["key"]["seconds"],
                **entry["summary"],
            }
            for entry in mine
        ]
    except (KeyError, TypeError) as err:
        raise ConfigError(f"{path}: expected a scoreboard's scores.json ({err!r})") from err


def main(argv: Sequence[str] | None = None) -> int:
    """Copy an agent with its card, or plot cards."""
    parser = command_line.parser(
        "Copy an agent with a card of its training, or plot learning curves.", EXAMPLES
    )
    commands = parser.add_subparsers(dest="what", required=True)
    keeping = commands.add_parser("keep", help="copy an agent, and write its card")
    keeping.add_argument("agent", help="file of --save_path")
    keeping.add_argument("--log_path", required=True, help="folder of its logs")
    keeping.add_argument("--out", required=True, help="path of the copy, without suffix")
    keeping.add_argument("--command", default="", help="the command line of the training")
    keeping.add_argument("--fresh", action="store_true", help="overwrite another agent of that name")
    keeping.add_argument("--scores", help="a scoreboard's scores.json with this agent")
    drawing = commands.add_parser("draw", help="plot the curves of cards")
    drawing.add_argument("cards", nargs="+", help="cards of `keep`")
    drawing.add_argument("--out", default="learning.png", help="PNG file (default: learning.png)")
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    if arguments.what == "keep":
        given = arguments.agent, arguments.log_path, arguments.out, arguments.command, arguments.scores
        print(keep(*given, arguments.fresh))
    else:
        draw(arguments.cards, arguments.out)
        print(arguments.out)
    return 0
