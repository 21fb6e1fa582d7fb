"""The command line of June 2019: its flags, the algorithms' `--key=value`, and the checks of values.

No value is executed: 2019's command line evaluated them as Python, this one parses literals and the one
form of function that was in use, a linear schedule to 0 (`lambda f: f * 2.5e-4`)."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from dreamduck.common import command_line
from dreamduck.common.config import add_arguments, check, from_arguments, option
from dreamduck.common.errors import ConfigError

VIDEO_LENGTH = 200
VEC_ENVS = ("auto", "native", "dummy", "subproc")
NUMBER = r"([0-9.]+(?:e[-+]?[0-9]+)?)"
LINEAR = re.compile(
    rf"(?:lambda\s+(?P<x>\w+)\s*:\s*(?:(?P=x)\s*\*\s*{NUMBER}|{NUMBER}\s*\*\s*(?P=x))|lin(?:ear)?[:_]{NUMBER})",
    re.IGNORECASE,
)
EXAMPLES = """
examples:
  dreamduck rl --alg=ppo2 --env=DreamDuck-v0 --num_timesteps=2e7 --num_env=4 \\
      --save_path=./models/dreamduck__ppo2 --log_path=train_logs
  dreamduck rl --num_timesteps=0 --load_path=./models/dreamduck__ppo2 --play
  dreamduck rl --env=CartPole-v1 --num_timesteps=2e4 --nsteps=256 --nminibatches=8 --lr=1e-3

Any other --key=value goes to the algorithm: --nsteps --nminibatches --noptepochs --lr --ent_coef
--cliprange --gamma --lam --load_path ...; an unknown one is answered with the known ones."""


@dataclasses.dataclass(frozen=True)
class Flags:
    """The flags of the command; None where a flag was not given."""

    env: str | None = option(None, "Gymnasium id (default: the one in --load_path, or DreamDuck-v0)")
    env_type: str | None = option(None, "whose defaults to take (mujoco, atari, ...) if not the id's own")
    env_kwargs: str | None = option(
        None, 'the environment\'s arguments as JSON, e.g. \'{"map_name": "udem1"}\''
    )
    extra_import: str | None = option(None, "a module to import, which registers environments")
    seed: int | None = option(None, "seed of everything random", low=0, high=2**31 - 1)
    alg: str | None = option(None, "algorithm (default: the one in --load_path, or ppo2)")
    num_timesteps: float = option(1e6, "steps of all environments together", low=0, high=1e15)
    network: str | None = option(
        None, "mlp, lstm, cnn, cnn_small, cnn_lstm, ... (default: by the observations)"
    )
    gamestate: str | None = option(None, "of Gym Retro games; accepted for old scripts, without effect")
    num_env: int | None = option(None, "environments stepped together (default: 1)", low=1, high=100_000)
    vec_env: str = option(
        "auto", "how they are stepped: in one batch, in turn, in processes", choices=VEC_ENVS
    )
    reward_scale: float = option(1.0, "rewards are multiplied by this")
    recipe: bool = option(False, "use the tested values for this environment, see docs/rl.md")
    save_path: str | None = option(None, "file to save the agent to")
    fresh: bool = option(False, "overwrite what is in --save_path")
    strict: bool = option(False, "refuse an agent of another world model, instead of warning")
    save_video_interval: int = option(0, "record a video every so many steps; 0: never", low=0)
    save_video_length: int = option(VIDEO_LENGTH, "length of such a video", unit="steps", low=1)
    log_path: str | None = option(None, "folder of the logs (default: OPENAI_LOGDIR, or a new one in /tmp)")
    checkpoint_seconds: float = option(60.0, "time between checkpoints; 0: none but save_interval's", low=0)
    resume: bool = option(False, "continue from the newest checkpoint in --log_path")
    progress: bool = option(True, "show a progress bar")
    play: bool = option(False, "watch the agent, after training or instead of it")
    play_episodes: int = option(0, "episodes to play; 0: until stopped (1 in a video)", low=0)
    play_steps: int = option(0, "steps to play at most; 0: no limit", low=0)
    video: str | None = option(None, "with --play: write the episode to this .mp4 or .gif, no window")

    def __post_init__(self) -> None:
        check(self)
        if not abs(self.reward_scale) < float("inf"):
            raise ConfigError(f"reward_scale: expected a finite number, got {self.reward_scale!r}")
        if self.video is not None and not self.play:
            raise ConfigError("--video: records what --play shows; give --play too")
        if (self.play_episodes or self.play_steps) and not self.play:
            raise ConfigError("--play_episodes, --play_steps: limit what --play shows; give --play too")
        if self.save_video_length != VIDEO_LENGTH and not self.save_video_interval:
            raise ConfigError("--save_video_length: of a training's videos; give --save_video_interval too")
        if self.fresh and self.save_path is None:
            raise ConfigError("--fresh: overwrites what is in --save_path; give --save_path too")
        if self.fresh and self.resume:
            raise ConfigError("--fresh starts over and --resume continues; give one of the two")
        if self.resume and self.log_path is None:
            raise ConfigError("--resume: continues from a checkpoint in --log_path; give --log_path too")

    def env_arguments(self) -> dict[str, Any]:
        """The keyword arguments in `env_kwargs`.

        Raises:
            ConfigError: not a JSON object.
        """
        try:
            value = json.loads(self.env_kwargs or "{}")
        except (ValueError, RecursionError) as err:
            raise ConfigError(
                f"env_kwargs: expected a JSON object, got {self.env_kwargs!r:.100} ({err!s:.100})"
            ) from err
        if not isinstance(value, dict):
            raise ConfigError(f"env_kwargs: expected a JSON object, got {self.env_kwargs!r:.100}")
        return value


@dataclasses.dataclass(frozen=True)
class LinearSchedule:
    """A rate that goes linearly from `start` to 0 over the training."""

    start: float

    def __str__(self) -> str:
        return f"linear:{self.start:g}"


class _Parser(command_line.Parser):
    """An argument parser that raises `ConfigError`: one line, no usage."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def parse(argv: Sequence[str] | None) -> tuple[Flags, dict[str, Any], argparse.Namespace]:
    """Read the command line.

    Returns:
        The flags; the algorithm's keys, values read by `parse_value`; and the namespace, for
        the logging flags in it.
    Raises:
        ConfigError: a bad value, or an argument that is no flag.
    """
    parser = _Parser(
        description="Train or watch an agent; the flags are OpenAI baselines' of June 2019.",
        epilog=EXAMPLES,
        formatter_class=command_line.Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    parser.add_argument("-q", "--quiet", action="store_true", help="no tables, no progress bar")
    add_arguments(parser, Flags)
    parser.complete()
    namespace, rest = parser.parse_known_args(argv)
    return from_arguments(Flags, namespace), _pairs(rest), namespace


def _pairs(words: Sequence[str]) -> dict[str, Any]:
    """`--key=value` and `--key value` as a dictionary."""
    pairs: dict[str, Any] = {}
    waiting: str | None = None
    for word in words:
        if waiting is not None and not word.startswith("--"):
            pairs[waiting], waiting = parse_value(word), None
        elif waiting is not None:
            break
        elif not word.startswith("--"):
            raise ConfigError(f"{word!r}: expected --key=value")
        elif "=" in word:
            key, _, value = word[2:].partition("=")
            pairs[key.replace("-", "_")] = parse_value(value)
        else:
            waiting = word[2:].replace("-", "_")
    if waiting is not None:
        raise ConfigError(f"--{waiting}: expected a value, as in --{waiting}=...")
    return pairs


def parse_value(text: str) -> Any:
    """Parse a value as 2019's command line had it, without executing it.

    Numbers, True, False, None, lists and quoted strings are parsed as Python writes them; a linear
    function to 0 becomes `LinearSchedule`; everything else is a string.

    Raises:
        ConfigError: a linear schedule without a number.
    """
    linear = LINEAR.fullmatch(text.strip())
    if linear:
        start = next(group for group in linear.groups()[1:] if group)
        try:
            return LinearSchedule(float(start))
        except ValueError as err:
            raise ConfigError(f"{text!r}: expected a number in it, as in lambda f: f * 2.5e-4") from err
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
