"""Environments of any Gymnasium id as a `VecEnv`, and the wrappers around it.

The three Duckietown environments step as one batch in this process; all others in turn, or in processes of
their own if asked."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from dreamduck.common.errors import ConfigError, DreamDuckError
from dreamduck.rl.environments.env_factory import EnvFactory, find_spec, first_line, is_own
from dreamduck.rl.environments.stacked_env import StackedVecEnv
from dreamduck.rl.environments.vec_env import BatchVecEnv, ProcessVecEnv
from dreamduck.rl.sb3 import DummyVecEnv, ResultsWriter, VecEnv, VecEnvWrapper, VecMonitor, VecNormalize
from dreamduck.simulator.maps.generated import expand_map_names


def make(
    spec: EnvSpec,
    env_id: str,
    count: int,
    arguments: Mapping[str, Any],
    how: str = "auto",
    render_mode: str | None = None,
    modules: Sequence[str] = (),
) -> VecEnv:
    """Environments of one kind, stepped together.

    Args:
        spec: the registration.
        env_id: the id as it was given.
        count: how many.
        arguments: keyword arguments of the environment. Where `map_name` is a list, the environments
            are spread evenly over these maps.
        how: "native" (one batch), "dummy" (in turn), "subproc" (processes), or "auto".
        render_mode: None, "human" or "rgb_array".
        modules: to import in each process of "subproc".
    Raises:
        ConfigError: the environment does not take the arguments, or has no batch.
    """
    maps = arguments.get("map_name")
    if isinstance(maps, list) and is_own(spec):
        return _on_maps(maps, spec, env_id, count, arguments, how, render_mode, modules)
    if how == "auto":
        how = (
            "native"
            if is_own(spec) and spec.vector_entry_point is not None and render_mode != "human"
            else "dummy"
        )
    given = dict(arguments) if render_mode is None else {**arguments, "render_mode": render_mode}
    try:
        if how == "native":
            if spec.vector_entry_point is None:
                raise ConfigError(f"vec_env: {spec.id} has no native batch; use dummy or subproc")
            mode: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP} if is_own(spec) else {}
            batch = gym.make_vec(spec, count, vectorization_mode="vector_entry_point", **given, **mode)
            return from_zero(BatchVecEnv(batch))
        makers: list[Callable[[], gym.Env[Any, Any]]] = [
            EnvFactory(env_id, given, modules) for _ in range(count)
        ]
        return from_zero(ProcessVecEnv(makers) if how == "subproc" else DummyVecEnv(makers))
    except DreamDuckError:
        raise
    except (TypeError, gym.error.Error) as err:
        raise ConfigError(f"env: {spec.id} cannot be made with {given} ({first_line(err)})") from err


class ActionsFromZero(VecEnvWrapper):
    """Discrete actions that begin at 0, as Stable-Baselines3 gives them, where they do not."""

    def __init__(self, venv: VecEnv) -> None:
        space = venv.action_space
        assert isinstance(space, gym.spaces.Discrete)
        super().__init__(venv, action_space=gym.spaces.Discrete(int(space.n)))
        self._start = space.start

    def reset(self) -> Any:
        """Reset all environments."""
        return self.venv.reset()

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Hand on the environments' own actions."""
        self.venv.step_async(actions + self._start)

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Step all environments."""
        return self.venv.step_wait()


def from_zero(venv: VecEnv) -> VecEnv:
    """The environments, with discrete actions that begin at 0."""
    space = venv.action_space
    return ActionsFromZero(venv) if isinstance(space, gym.spaces.Discrete) and space.start else venv


def _on_maps(
    maps: Sequence[Any], spec: EnvSpec, env_id: str, count: int, arguments: Mapping[str, Any], *rest: Any
) -> VecEnv:
    """Environments on several maps; a single one is on the first."""
    if not maps or not all(isinstance(name, str) for name in maps):
        raise ConfigError(f"map_name: expected the name of a map, or a list of names, got {maps!r:.100}")
    names = expand_map_names(maps)[: count if count == 1 else None]
    if count < len(names):
        raise ConfigError(
            f"map_name: expected at most {count} maps, one for each of num_env, got {len(names)}"
        )
    share, more = divmod(count, len(names))
    return StackedVecEnv(
        [
            make(spec, env_id, share + (number < more), {**arguments, "map_name": name}, *rest)
            for number, name in enumerate(names)
        ]
    )


def make_vec_env(env_id: str, count: int = 1, **arguments: Any) -> VecEnv:
    """Environments for plain Stable-Baselines3 code, with their episodes in `info["episode"]`.

    The Duckietown environments step as one batch: `PPO("CnnPolicy", make_vec_env("DreamDuck-v0", 8))`.

    Args:
        env_id: any Gymnasium id.
        count: how many.
        **arguments: of the environment.
    Raises:
        ConfigError: there is no such environment, or it does not take the arguments.
    """
    return EpisodeMonitor(make(find_spec(env_id), env_id, count, arguments), env_id)


class EpisodeMonitor(VecMonitor):
    """Stable-Baselines3's monitor of each episode's reward and length: `info["episode"]`, `monitor.csv`.

    It differs from its parent in two things: a step in which a batch only reset is no episode, and the file
    is set after construction, when all input has been checked.

    Args:
        venv: the environments.
        env_id: for the file's header.
    """

    def __init__(self, venv: VecEnv, env_id: str) -> None:
        super().__init__(venv)
        self.env_id = env_id

    def write_to(self, path: Path, append: bool = False) -> None:
        """Set the file.

        Args:
            path: the file.
            append: continue one that exists.
        """
        append = append and path.exists()
        if append:
            with contextlib.suppress(ValueError, KeyError, TypeError, IndexError, OSError):
                first = path.read_text(encoding="utf-8", errors="replace").splitlines()[0]
                self.t_start = float(json.loads(first.removeprefix("#"))["t_start"])
        header: dict[str, float | str] = {"t_start": self.t_start, "env_id": self.env_id}
        self.results_writer = ResultsWriter(str(path), header, override_existing=not append)

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Step all environments; the end of an episode has `info["episode"]`."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self.episode_returns += rewards
        self.episode_lengths += 1
        for index in np.flatnonzero(dones).tolist():
            if not infos[index].get("reset_step", False):
                infos[index]["episode"] = self._finished(index)
            self.episode_returns[index], self.episode_lengths[index] = 0.0, 0
        return observations, rewards, dones, infos

    def _finished(self, index: int) -> dict[str, float]:
        self.episode_count += 1
        episode = {
            "r": round(float(self.episode_returns[index]), 6),
            "l": int(self.episode_lengths[index]),
            "t": round(time.time() - self.t_start, 6),
        }
        if self.results_writer is not None:
            self.results_writer.write_row(episode)
        return episode


class RewardScale(VecEnvWrapper):
    """Multiplies rewards; those in the logs stay unscaled."""

    def __init__(self, venv: VecEnv, scale: float) -> None:
        super().__init__(venv)
        self.scale = scale

    def reset(self) -> Any:
        """Reset all environments."""
        return self.venv.reset()

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Step all environments."""
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, rewards * np.float32(self.scale), dones, infos


def normalized(venv: VecEnv, observations: bool, returns: bool, clip: float, training: bool) -> VecEnv:
    """The environments with a running normalization, if any is wanted.

    Args:
        venv: the environments.
        observations: normalize observations.
        returns: scale rewards by the returns, discounted by 0.99 as in 2019; clipped at 10.
        clip: for observations [standard deviations].
        training: whether the statistics are updated.
    """
    if not (observations or returns):
        return venv
    return VecNormalize(venv, training=training, norm_obs=observations, norm_reward=returns, clip_obs=clip)
