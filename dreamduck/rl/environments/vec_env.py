"""`gymnasium.vector.VectorEnv` behind Stable-Baselines3's `VecEnv`.

The interfaces differ at the end of an episode: `VecEnv` returns the first observation of the next episode
at once, and the last one in `info["terminal_observation"]`. Batches that reset in the same step, or on
demand, can do that. Those that reset in the next step (Gymnasium's own CartPole) cannot; their idle step
becomes an episode of one step without reward, marked `info["reset_step"]`, so that nothing is bootstrapped
across it and no log counts it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from dreamduck.common.errors import ConfigError, SimulatorError
from dreamduck.rl.sb3 import VecEnv

Infos = list[dict[str, Any]]
END_KEYS = ("final_obs", "final_observation", "final_info")


class BatchVecEnv(VecEnv):
    """A `VecEnv` around a batch.

    Args:
        batch: any vector environment of Gymnasium.
    """

    def __init__(self, batch: VectorEnv[Any, Any, Any]) -> None:
        self.batch = batch
        mode = AutoresetMode(batch.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self.same_step = mode is AutoresetMode.SAME_STEP
        self.on_demand = mode is AutoresetMode.DISABLED
        self._ended = np.zeros(batch.num_envs, dtype=np.bool_)  # these reset in the next step
        self._actions: npt.NDArray[Any] | None = None
        super().__init__(batch.num_envs, batch.single_observation_space, batch.single_action_space)

    def reset(self) -> npt.NDArray[Any]:
        """Reset all environments; observations (N, ...)."""
        seeds = self._seeds
        options = next((option for option in self._options if option), None)
        # A batch takes an integer as the first of consecutive seeds.
        seed = None if seeds[0] is None else int(seeds[0])
        observations, infos = self.batch.reset(seed=seed, options=options)
        self.reset_infos = split_infos(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        self._ended[:] = False
        return np.array(observations)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.bool_], Infos]:
        """Step all environments.

        Returns:
            Observations (N, ...), rewards (N,), episode ends (N,), and infos.
        """
        observations, rewards, terminated, truncated, batch_infos = self.batch.step(self._actions)
        done = np.asarray(terminated) | np.asarray(truncated)
        infos = split_infos(batch_infos, self.num_envs)
        observations = np.array(observations)  # a batch may write into its own array again
        for index in np.flatnonzero(done).tolist():
            last = _last_observation(batch_infos, index) if self.same_step else observations[index].copy()
            infos[index] = {
                **(_final_info(batch_infos, index) if self.same_step else infos[index]),
                "terminal_observation": last,
                "TimeLimit.truncated": bool(truncated[index] and not terminated[index]),
            }
        if self.on_demand and done.any():
            fresh, _ = self.batch.reset(options={"reset_mask": done})
            observations[done] = np.asarray(fresh)[done]
        elif not self.same_step:
            done = self._pass_idle_steps(done, observations, infos)
        return observations, np.array(rewards, dtype=np.float32), done, infos

    def _pass_idle_steps(
        self, done: npt.NDArray[np.bool_], observations: npt.NDArray[Any], infos: Infos
    ) -> npt.NDArray[np.bool_]:
        """Mark the steps in which a next-step batch only reset."""
        for index in np.flatnonzero(self._ended):
            infos[index] = {"reset_step": True, "terminal_observation": observations[index].copy()}
        idle, self._ended = self._ended, done & ~self._ended
        return done | idle

    def close(self) -> None:
        """Close the batch."""
        self.batch.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """An image of each environment; None without a render mode."""
        frames: Any = self.batch.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """The batch's attribute, once for each environment asked for."""
        return [getattr(self.batch, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Set the batch's attribute, which all environments share."""
        if len(self._chosen(indices)) != self.num_envs:
            raise ConfigError(f"{attr_name}: a batch has one for all of its environments; set it for all")
        setattr(self.batch, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: int | Iterable[int] | None = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call the batch's method once; its result stands for each environment asked for."""
        result = getattr(self.batch, method_name)(*method_args, **method_kwargs)
        return [result] * len(self._chosen(indices))

    def env_is_wrapped(
        self,
        wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]],
        indices: int | Iterable[int] | None = None,
    ) -> list[bool]:
        """No: there are no single environments that could be."""
        return [False] * len(self._chosen(indices))

    def _chosen(self, indices: int | Iterable[int] | None) -> Sequence[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else list(indices)


class ProcessVecEnv(BatchVecEnv):
    """Environments in processes of their own.

    Args:
        makers: one for each environment; pickled.
    """

    def __init__(self, makers: Sequence[Callable[[], gym.Env[Any, Any]]]) -> None:
        with _process_errors():
            batch = AsyncVectorEnv(makers, context="spawn", autoreset_mode=AutoresetMode.SAME_STEP)
        self._async = batch
        super().__init__(batch)

    def reset(self) -> npt.NDArray[Any]:
        """Reset all environments; observations (N, ...).

        Raises:
            SimulatorError: a process has died.
        """
        with _process_errors(self._async.processes):
            return super().reset()

    def step_wait(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.bool_], Infos]:
        """Step all environments.

        Raises:
            SimulatorError: a process has died.
        """
        with _process_errors(self._async.processes):
            return super().step_wait()

    def close(self) -> None:
        """End the processes; a busy one is killed instead of waiting for it."""
        batch = self._async
        if batch.closed:
            return
        busy = getattr(batch, "_state", AsyncState.DEFAULT) is not AsyncState.DEFAULT
        if not busy and all(process.is_alive() for process in batch.processes):
            with contextlib.suppress(EOFError, OSError):
                batch.close()
                return
        for process in batch.processes:
            process.kill()
            process.join()
        for pipe in batch.parent_pipes:
            if pipe is not None:
                pipe.close()
        batch.closed = True


@contextlib.contextmanager
def _process_errors(processes: Sequence[Any] = ()) -> Iterator[None]:
    """Turn a broken pipe of a process into an error of one line.

    Raises:
        SimulatorError: a process has died.
    """
    try:
        yield
    except (EOFError, ConnectionError) as err:
        ended = []
        for index, process in enumerate(processes):
            process.join(0.2)
            if process.exitcode is not None:
                ended.append(f"{index} (exit code {process.exitcode})")
        raise SimulatorError(
            f"the process of environment {', '.join(ended) or 'unknown'} has ended unexpectedly; is there "
            "enough memory? --resume continues from the last checkpoint"
        ) from err


def split_infos(infos: dict[str, Any], count: int) -> Infos:
    """Split a batch's info, arrays with masks, into one dictionary for each environment."""
    found: Infos = [{} for _ in range(count)]
    for key, values in infos.items():
        if key in END_KEYS or key.startswith("_"):
            continue
        if isinstance(values, dict):
            parts: Sequence[Any] = split_infos(values, count)
            mask = np.array([bool(part) for part in parts])
        else:
            parts = values
            mask = np.asarray(infos.get(f"_{key}", np.ones(count, dtype=np.bool_)))
        if not hasattr(parts, "__len__") or len(parts) != count:
            continue  # something about the batch as a whole
        for index in np.flatnonzero(mask).tolist():
            found[index][key] = parts[index]
    return found


def _last_observation(infos: dict[str, Any], index: int) -> npt.NDArray[Any]:
    for key in ("final_obs", "final_observation"):
        if key in infos:
            return np.array(infos[key][index])
    raise ConfigError(
        "a batch ended an episode and reset in the same step, but has no info['final_obs']; "
        "expected what Gymnasium's own vector environments give"
    )


def _final_info(infos: dict[str, Any], index: int) -> dict[str, Any]:
    """The info of an episode's last step, from an array of dictionaries or a dictionary of arrays."""
    final = infos.get("final_info")
    if isinstance(final, dict):
        count = next((len(v) for v in final.values() if hasattr(v, "__len__")), index + 1)
        return split_infos(final, count)[index]
    if final is None or final[index] is None:
        return {}
    return dict(final[index])
