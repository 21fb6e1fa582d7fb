"""Any Gymnasium world as a `VecEnv`, with its episodes watched.

The three Duckietown worlds step as one batch, in this process;
all others in turn, or in processes of their own if asked."""

from __future__ import annotations

import contextlib
import importlib
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
from dreamduck.registration import register
from dreamduck.rl.env_factory import EnvFactory
from dreamduck.rl.sb3 import DummyVecEnv, ResultsWriter, VecEnv, VecEnvWrapper, VecMonitor, VecNormalize
from dreamduck.rl.vec_env import BatchVecEnv, ProcessVecEnv

OWN = "dreamduck."  # entry points that begin so are ours


def plain(env_id: str) -> str:
    """An id without the module in front of it."""
    return env_id.rpartition(":")[2]


def load(module: str, flag: str) -> None:
    """Import a module that registers environments; only the command line may name one.

    Args:
        flag: the flag that named it.
    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        importlib.import_module(module)
    except Exception as err:  # whatever a foreign module raises
        text = f"{type(err).__name__}: {_line(err)}"
        raise ConfigError(f"{flag}: cannot import {module!r} ({text})") from err


def find(env_id: str) -> EnvSpec:
    """The registration of an id; `module:Id` imports the module first.

    Raises:
        ConfigError: there is none.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        load(module, "env")
    try:
        register()
        return gym.spec(name)
    except gym.error.Error as err:
        raise ConfigError(f"env: {_line(err)}; expected a Gymnasium id, as DreamDuck-v0") from err


def registered(env_id: str, path: Path) -> EnvSpec:
    """The registration of an id that a file names; nothing is imported for it.

    Raises:
        ConfigError: it is not registered.
    """
    register()
    name = plain(env_id)
    if name not in gym.registry:
        raise ConfigError(
            f"{path}: learned in {name[:80]!r}, which is not registered here; name the module that "
            "registers it with --extra_import=MODULE, or say --env=MODULE:ID"
        )
    return gym.registry[name]


def is_own(spec: EnvSpec) -> bool:
    """Whether it is one of the three Duckietown environments."""
    return isinstance(spec.entry_point, str) and spec.entry_point.startswith(OWN)


def env_type(spec: EnvSpec) -> str:
    """2019's word for a family of worlds: classic_control, mujoco, atari, duckietown, ..."""
    entry = (
        spec.entry_point
        if isinstance(spec.entry_point, str)
        else getattr(spec.entry_point, "__module__", "")
    )
    if entry.startswith(OWN):
        return "duckietown"
    parts = entry.partition(":")[0].split(".")
    if parts[:2] == ["gymnasium", "envs"] and len(parts) > 2:
        return parts[2]
    return {"ale_py": "atari", "retro": "retro"}.get(parts[0], parts[0])


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
        spec, env_id: the registration, and the id as it was said. count: how many.
        arguments: keyword arguments of the world.
        how: "native" (one batch), "dummy" (in turn), "subproc" (processes), or "auto".
        render_mode: None, "human" or "rgb_array".
        modules: to import in each process of "subproc".
    Raises:
        ConfigError: the world does not take the arguments, or has no batch.
    """
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
            return BatchVecEnv(batch)
        makers: list[Callable[[], gym.Env[Any, Any]]] = [
            EnvFactory(env_id, given, modules) for _ in range(count)
        ]
        if how == "subproc":
            return ProcessVecEnv(makers)
        return DummyVecEnv(makers)
    except DreamDuckError:
        raise
    except (TypeError, gym.error.Error) as err:
        raise ConfigError(f"env: {spec.id} cannot be made with {given} ({_line(err)})") from err


def vec_env(env_id: str, count: int = 1, **arguments: Any) -> VecEnv:
    """Environments for plain Stable-Baselines3 code, their episodes watched.

    The Duckietown worlds step as one batch: `PPO("CnnPolicy", vec_env("DreamDuck-v0", 8))`.

    Args:
        env_id: any Gymnasium id. count: how many. arguments: of the world.
    Raises:
        ConfigError: there is no such world, or it does not take the arguments.
    """
    return EpisodeWatch(make(find(env_id), env_id, count, arguments), env_id)


class EpisodeWatch(VecMonitor):
    """Stable-Baselines3's monitor of each episode's reward and length: `info["episode"]`, `monitor.csv`.

    It differs in two things: a step in which a batch only reset is no episode, and the file is given when
    everything that can be refused has been looked at.

    Args:
        env_id: what the file says about the world.
    """

    def __init__(self, venv: VecEnv, env_id: str) -> None:
        super().__init__(venv)
        self.env_id = env_id

    def write_to(self, path: Path, append: bool = False) -> None:
        """From now on write to this file; `append` goes on in one that is there."""
        append = append and path.exists()
        if append:
            with contextlib.suppress(ValueError, KeyError, TypeError, IndexError, OSError):
                first = path.read_text(encoding="utf-8", errors="replace").splitlines()[0]
                self.t_start = float(json.loads(first.removeprefix("#"))["t_start"])
        header: dict[str, float | str] = {"t_start": self.t_start, "env_id": self.env_id}
        self.results_writer = ResultsWriter(str(path), header, override_existing=not append)

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Step everywhere; an episode's end carries `info["episode"]`."""
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
    """Multiplies rewards; the watched ones stay as they are."""

    def __init__(self, venv: VecEnv, scale: float) -> None:
        super().__init__(venv)
        self.scale = scale

    def reset(self) -> Any:
        """Begin everywhere."""
        return self.venv.reset()

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Step everywhere."""
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, rewards * np.float32(self.scale), dones, infos


def normalized(venv: VecEnv, observations: bool, returns: bool, clip: float, training: bool) -> VecEnv:
    """The environments with a running normalisation, if any is wanted.

    Args:
        clip: observations are cut at so many spreads; rewards at 10, discounted by 0.99 as 2019 did.
    """
    if not (observations or returns):
        return venv
    return VecNormalize(venv, training=training, norm_obs=observations, norm_reward=returns, clip_obs=clip)


def _line(err: BaseException) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0].rstrip(". ")
