"""The settings of a Gymnasium environment, and how its images become frames."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib
import importlib.metadata
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError, DreamDuckError, SimulatorError
from dreamduck.recordings.sources.action_space import ARROW_KEYS, ActionSpace
from dreamduck.recordings.sources.arrow_keys import named_keys
from dreamduck.recordings.sources.frame_env import END, FrameEnv
from dreamduck.recordings.sources.images import RENDER, SIDE, find_pixels
from dreamduck.simulator.environment import STEP_TIME, is_own

log = logging.getLogger(__name__)

STDERR = 2  # the last of the descriptors that every program inherits
PROBE_STEPS = 3  # that are compared with those of another episode of the same seed


@dataclasses.dataclass(frozen=True)
class GymEnvironment:
    """An environment of Gymnasium, and the way to its images."""

    env: str = option("", "id of Gymnasium; MODULE:ID imports the module that registers it first")
    env_args: str = option(
        "", "arguments of the environment as JSON, for example '{\"continuous\": false}'"
    )
    pixels: str = option(
        "", "where images are: the key of a dictionary, or render; by default the observation"
    )
    crop: tuple[str, ...] = option(
        (), "pixels cut away at the top, bottom, left and right of an image before it is resized"
    )
    frame_skip: int = option(1, "steps of the environment in one step", low=1, high=1000)

    def __post_init__(self) -> None:
        check(self)
        _ = self.margins, self.arguments

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """What is cut away: top, bottom, left, right [pixels].

        Raises:
            ConfigError: not four integers of at least 0.
        """
        found = tuple(int(one) if str(one).isdigit() else -1 for one in self.crop or ("0",) * 4)
        if len(found) != 4 or min(found) < 0:
            raise ConfigError(
                f"crop: expected four integers TOP,BOTTOM,LEFT,RIGHT, got {','.join(self.crop)}"
            )
        return found

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the environment.

        Raises:
            ConfigError: no JSON object.
        """
        try:
            found = json.loads(self.env_args or "{}", parse_constant=_no_number)
        except ValueError as err:
            raise ConfigError(
                f"env-args: expected a JSON object, got {self.env_args!r:.200} ({err})"
            ) from err
        if not isinstance(found, dict):
            raise ConfigError(f"env-args: expected a JSON object, got {self.env_args!r:.200}")
        return found

    @property
    def id(self) -> str:
        """Without the module."""
        return self.env.rpartition(":")[2]

    @property
    def spec(self) -> EnvSpec:
        """The registration, with the arguments.

        Raises:
            ConfigError: there is none, or the module cannot be imported.
        """
        module = self.env.rpartition(":")[0]
        if module:
            import_registering(module)
        try:
            found = copy.deepcopy(gymnasium.spec(self.id))
        except gymnasium.error.Error as err:
            raise ConfigError(
                f"env: {first_line(err)}; expected a registered id of Gymnasium, or MODULE:ID with the "
                "module that registers it"
            ) from err
        found.kwargs = {**found.kwargs, **self.arguments}
        if self.pixels == RENDER:
            found.kwargs["render_mode"] = "rgb_array"
        found.disable_env_checker = True
        return found

    def settled(self, env: Any) -> GymEnvironment:
        """The same, with the way to the images of an environment that is made.

        Raises:
            ConfigError: it has no such images.
        """
        pixels = find_pixels(env.observation_space, self.pixels, self.id)
        if pixels == RENDER and getattr(env, "render_mode", None) != "rgb_array":
            raise ConfigError(
                f"{self.id}: pixels: expected an environment that renders rgb_array, got "
                f"{getattr(env, 'render_mode', None)}; make it with render_mode='rgb_array'"
            )
        return dataclasses.replace(self, pixels=pixels)

    def wrap(self, env: Any) -> FrameEnv:
        """An environment, as a source sees it; `pixels` is settled, see `inspect`."""
        return FrameEnv(env, self.pixels, self.margins, self.frame_skip)

    def make(self) -> FrameEnv:
        """One environment, as a source sees it.

        Raises:
            ConfigError: it cannot be made.
        """
        return self.wrap(make_env(self.spec))


def keep_descriptors() -> None:
    """Let programs that an environment starts inherit none of our files: a game that outlives a killed
    command would hold its lock."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the folder's own is closed by now
            if descriptor > STDERR:
                os.set_inheritable(descriptor, False)


def import_registering(module: str) -> None:
    """Import a module that registers environments.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        importlib.import_module(module)
    except Exception as err:  # anything, from a foreign module
        raise ConfigError(
            f"env: cannot import {module!r} ({type(err).__name__}: {first_line(err)}); install it, or put "
            "its folder on PYTHONPATH"
        ) from err


def make_env(spec: EnvSpec) -> Any:
    """An environment by its registration.

    Raises:
        ConfigError: its package is missing, or it refuses its arguments.
    """
    keep_descriptors()
    try:
        return gymnasium.make(spec)
    except Exception as err:  # anything, from a foreign module
        raise ConfigError(
            f"{spec.id}: cannot be made ({type(err).__name__}: {first_line(err)}); install what it needs, "
            "or give other --env-args"
        ) from err


def inspect(environment: GymEnvironment) -> tuple[GymEnvironment, dict[str, Any]]:
    """Make an environment once, settle where its images are, and describe it.

    Warns where two episodes of one seed are not alike.

    Returns:
        The environment with its `pixels` settled; its description, for recordings and cards.
    Raises:
        ConfigError: it cannot be made, has no images, or its actions are of no kind that is known.
        SimulatorError: it failed.
    """
    env = make_env(environment.spec)
    try:
        settled = environment.settled(env)
        frame_env = settled.wrap(env)
        try:
            first, second = (_few_steps(frame_env) for _ in range(2))
        except DreamDuckError:
            raise
        except Exception as err:  # anything, from a foreign environment
            raise failed(environment.id, err) from err
        if not all(np.array_equal(*pair) for pair in zip(first, second, strict=True)):
            log.warning(
                "%s: two episodes of one seed differ; recordings of it cannot be reproduced", environment.id
            )
        return settled, describe(settled, env)
    finally:
        close(env, environment.id)


def describe(environment: GymEnvironment, env: Any) -> dict[str, Any]:
    """The description of an environment, for JSON.

    Args:
        environment: its settings, `pixels` settled.
        env: one that is made.
    """
    module = environment.env.rpartition(":")[0]
    fps = env.metadata.get("render_fps")
    step = 1 / fps if isinstance(fps, int | float) and fps > 0 else STEP_TIME
    if "metadata" not in vars(env.unwrapped):  # frames a second of the class, before it skips any by itself
        step *= _own_frame_skip(environment.arguments)
    keys = named_keys(env) if isinstance(env.action_space, spaces.Discrete) else ()
    return {
        "id": environment.id,
        **({"module": module} if module else {}),
        **_version(env),
        "arguments": environment.arguments,
        "pixels": environment.pixels,
        "crop": list(environment.margins),
        "frame_skip": environment.frame_skip,
        "step_time": round(environment.frame_skip * step, 6),
        "camera": [SIDE, SIDE, 3],
        "action_space": ActionSpace.of(env.action_space, environment.id).described,
        **({ARROW_KEYS: list(keys)} if keys else {}),
    }


def of_description(found: Mapping[str, Any]) -> GymEnvironment | None:
    """The environment of a description; None where it is Duckietown's, or unknown.

    Raises:
        ConfigError: the description is damaged.
    """
    name = found.get("id")
    if is_own(name):
        return None
    module = found.get("module")
    try:
        return GymEnvironment(
            env=f"{module}:{name}" if module else str(name),
            env_args=json.dumps(found.get("arguments") or {}, sort_keys=True),
            pixels=found.get("pixels", ""),
            crop=tuple(map(str, found.get("crop") or ())),
            frame_skip=found.get("frame_skip", 1),
        )
    except (TypeError, ValueError) as err:
        raise ConfigError(f"card: environment: not understood ({err}); train the model again") from err


def close(env: Any, name: str) -> None:
    """Close an environment; a failure is a warning, since nothing is lost by it."""
    try:
        env.close()
    except Exception as err:  # anything, from a foreign environment
        log.warning("%s: its close failed (%s: %s)", name, type(err).__name__, first_line(err))


def failed(name: str, err: BaseException) -> SimulatorError:
    """The error for an environment that raised one."""
    return SimulatorError(
        f"{name}: the environment failed ({type(err).__name__}: {first_line(err)}); what is recorded "
        "is kept, start again when it is fixed"
    )


def first_line(err: BaseException) -> str:
    """The first line of an error's message."""
    return (str(err).splitlines() or [type(err).__name__])[0].rstrip(". ")


def _own_frame_skip(arguments: Mapping[str, Any]) -> int:
    """Frames that an environment makes of one, by its arguments."""
    found = arguments.get("frame_skip", 1)
    return found if isinstance(found, int) and found > 0 else 1


def _version(env: Any) -> dict[str, str]:
    """The version of the package that an environment is from, where it is known."""
    package = type(env.unwrapped).__module__.partition(".")[0]
    try:
        return {"version": f"{package} {importlib.metadata.version(package)}"}
    except importlib.metadata.PackageNotFoundError:
        return {}


def _few_steps(env: FrameEnv) -> tuple[Any, Any, Any]:
    """Frames, rewards and ends of the first steps of an episode."""
    random = np.random.default_rng(0)
    frames, rewards, ends = [env.reset(seed=0)[0].copy()], [], []
    for _ in range(PROBE_STEPS):
        frame, reward, _, _, info = env.step(env.actions.sample(random))
        frames.append(frame.copy())
        rewards.append(reward)
        ends.append(info[END])
    return np.stack(frames), np.array(rewards), np.array(ends)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
