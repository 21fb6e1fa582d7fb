"""Any Gymnasium world as a `VecEnv`, with its episodes watched.

Flow: envs -> [worlds] -> agents. The three Duckietown worlds step as one batch, in this process;
all others in turn, or in processes of their own if asked."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from dreamduck.baselines.engine import DummyVecEnv, VecEnv, VecEnvWrapper, VecNormalize
from dreamduck.baselines.making import Maker
from dreamduck.baselines.vec import BatchVecEnv
from dreamduck.errors import ConfigError, DreamDuckError
from dreamduck.registration import register

OWN = "dreamduck."  # entry points that begin so are ours


def find(env_id: str) -> EnvSpec:
    """The registration of an id; `module:Id` imports the module first.

    Raises:
        ConfigError: there is none.
    """
    module, _, plain = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        register()
        return gym.spec(plain)
    except ImportError as err:
        raise ConfigError(f"env: {env_id!r}: cannot import {module!r} ({err})") from err
    except gym.error.Error as err:
        raise ConfigError(f"env: {_line(err)}; expected a Gymnasium id, as DreamDuck-v0") from err


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
) -> VecEnv:
    """Environments of one kind, stepped together.

    Args:
        spec, env_id: the registration, and the id as it was said. count: how many.
        arguments: keyword arguments of the world.
        how: "native" (one batch), "dummy" (in turn), "subproc" (processes), or "auto".
        render_mode: None, "human" or "rgb_array".
    Raises:
        ConfigError: the world does not take the arguments, or has no batch.
    """
    entry = spec.entry_point if isinstance(spec.entry_point, str) else ""
    if how == "auto":
        ours = entry.startswith(OWN) and spec.vector_entry_point is not None
        how = "native" if ours and render_mode != "human" else "dummy"
    given = dict(arguments) if render_mode is None else {**arguments, "render_mode": render_mode}
    try:
        if how == "native":
            if spec.vector_entry_point is None:
                raise ConfigError(f"vec_env: {spec.id} has no native batch; use dummy or subproc")
            mode: dict[str, Any] = (
                {"autoreset_mode": AutoresetMode.SAME_STEP} if entry.startswith(OWN) else {}
            )
            batch = gym.make_vec(spec, count, vectorization_mode="vector_entry_point", **given, **mode)
            return BatchVecEnv(batch)
        makers: list[Callable[[], gym.Env[Any, Any]]] = [Maker(env_id, given) for _ in range(count)]
        if how == "subproc":
            return BatchVecEnv(
                AsyncVectorEnv(makers, context="spawn", autoreset_mode=AutoresetMode.SAME_STEP)
            )
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


class EpisodeWatch(VecEnvWrapper):
    """Adds up each episode's reward and length, and writes them to `monitor.csv`.

    The file is 2019's: a line of JSON behind a `#`, then r (reward), l (length), t (seconds).

    Args:
        env_id: what the file says about the world.
    """

    def __init__(self, venv: VecEnv, env_id: str) -> None:
        super().__init__(venv)
        self.env_id = env_id
        self.episodes = 0
        self._rewards = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._start = time.time()
        self._file: TextIO | None = None

    def write_to(self, path: Path, append: bool = False) -> None:
        """From now on write to this file; `append` goes on in one that is there."""
        fresh = not (append and path.exists())
        self._file = open(path, "w" if fresh else "a", encoding="utf-8")  # noqa: SIM115  (closed by close)
        if fresh:
            header = json.dumps({"t_start": self._start, "env_id": self.env_id})
            self._file.write(f"#{header}\nr,l,t\n")
            self._file.flush()

    def reset(self) -> Any:
        """Begin everywhere."""
        self._rewards[:], self._lengths[:] = 0.0, 0
        return self.venv.reset()

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Step everywhere; an episode's end carries `info["episode"]`."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self._rewards += rewards
        self._lengths += 1
        for index in np.flatnonzero(dones).tolist():
            if not infos[index].get("reset_step", False):
                infos[index]["episode"] = self._finished(index)
            self._rewards[index], self._lengths[index] = 0.0, 0
        return observations, rewards, dones, infos

    def _finished(self, index: int) -> dict[str, float]:
        self.episodes += 1
        episode = {
            "r": round(float(self._rewards[index]), 6),
            "l": int(self._lengths[index]),
            "t": round(time.time() - self._start, 6),
        }
        if self._file is not None:
            self._file.write(f"{episode['r']},{episode['l']},{episode['t']}\n")
            self._file.flush()
        return episode

    def close(self) -> None:
        """Close the file and the environments."""
        if self._file is not None:
            self._file.close()
        super().close()


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


def normalized(venv: VecEnv, observations: bool, returns: bool, gamma: float, training: bool) -> VecEnv:
    """The environments with a running normalisation, if any is wanted.

    Observations are cut at 5 spreads, as 2019 did, rewards at 10.
    """
    if not (observations or returns):
        return venv
    return VecNormalize(
        venv, training=training, norm_obs=observations, norm_reward=returns, clip_obs=5.0, gamma=gamma
    )


def _line(err: BaseException) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0].rstrip(". ")
