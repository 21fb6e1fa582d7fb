"""N environments in one batch, for `gymnasium.make_vec`: seeds, options, the three autoreset modes.

Source: Gymnasium's vector API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from dreamduck.common.config import integer
from dreamduck.common.errors import ConfigError, ResetNeeded
from dreamduck.envs.base import SEEDS, Cars, Flags, Indices, Info
from dreamduck.envs.reset_options import check_options
from dreamduck.simulator.base import Frames


class BatchEnv(Cars, VectorEnv[Any, Any, Any]):
    """N environments of one world in one batch.

    Args:
        num_envs: N.
        render_mode: None or "rgb_array".
        max_episode_steps: episodes are truncated after so many steps, as Gymnasium's `TimeLimit` does for
            single worlds; None for never.
        autoreset_mode: when an ended episode is followed by the next: "NextStep", "SameStep", "Disabled".
        threads: cores that the native simulator uses, where there is one; None for all.
        settings: those of the single environment.
    Raises:
        ConfigError: an unknown argument, or a bad value.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    _own = ("_generators", "_steps", "_begun", "_ended", "_np_random", "_np_random_seed")

    def __init__(
        self,
        num_envs: int = 1,
        *,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        threads: int | None = None,
        **settings: Any,
    ) -> None:
        self.single_observation_space, fps = self._configure(settings)
        num_envs = integer("num_envs", num_envs, 1)
        if max_episode_steps is not None:
            max_episode_steps = integer("max_episode_steps", max_episode_steps, 1)
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(
                f"render_mode: expected None or 'rgb_array' for many worlds at once, got {render_mode!r}; "
                "make a single world to watch it in a window"
            )
        self.num_envs = self._count = num_envs
        self.render_mode = render_mode
        self.max_episode_steps = max_episode_steps
        self.autoreset_mode = _autoreset(autoreset_mode)
        self.metadata = {
            **type(self).metadata,
            "render_fps": fps,
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_action_space = self.actions.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._begun = np.zeros(num_envs, dtype=np.bool_)
        self._ended = np.zeros(num_envs, dtype=np.bool_)
        self._make(num_envs, threads)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Begin episodes in all environments, or in those of `options["reset_mask"]`.

        Args:
            seed: one number s for the seeds s, s + 1, ..., or a list of N. The first seeds
                `np_random`.
            options: those of the single world; `start` may have a row for each environment.
        Raises:
            ConfigError: the wrong number of seeds, an unknown option, a bad mask.
            StartError: a start that cannot be driven from.
        """
        self._check_open()
        given = dict(options or {})
        envs = _masked(given.pop("reset_mask", None), self.num_envs)
        given_seeds = self._listed(seed)
        checked = check_options(given, self.options, envs, self.num_envs)
        if given_seeds[0] is not None:
            self._np_random, self._np_random_seed = seeding.np_random(given_seeds[0])
        info = self._restart(envs, self._seeds(envs, given_seeds), checked)
        return self._observe(), put({}, info, envs, self.num_envs)

    def step(
        self, actions: Any
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Step every environment; ended ones continue as the autoreset mode says.

        Raises:
            ActionError: the actions have the wrong shape or are not finite.
            ResetNeeded: before the first reset; after an end, if autoreset is disabled.
        """
        checked = self.actions.encode(actions, self.num_envs)
        self._check_running()
        rewards, terminated, info = self._advance(checked)
        rewards = rewards.astype(np.float64)
        self._steps += 1
        truncated: Flags = self._steps >= (self.max_episode_steps or np.inf)  # as Gymnasium's TimeLimit
        truncated = truncated | self._truncated()
        restarted = np.flatnonzero(self._ended)  # since the last step, in mode NEXT_STEP
        going = np.flatnonzero(~self._ended)
        infos: dict[str, Any] = {}
        put(infos, {key: values[going] for key, values in info.items()}, going, self.num_envs)
        if restarted.size:
            put(infos, self._restart(restarted, self._seeds(restarted), {}), restarted, self.num_envs)
            rewards[restarted], terminated[restarted], truncated[restarted] = 0.0, False, False
        over = terminated | truncated
        observations = self._observe()
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            if over.any():
                infos, observations = self._restart_now(np.flatnonzero(over), infos, observations)
        else:
            self._ended = over
        return observations, rewards, terminated, truncated, infos

    def render(self) -> tuple[Frames, ...] | None:
        """An image of each environment, as the single one shows it, in mode "rgb_array".

        Raises:
            ConfigError: made without a render mode.
            ResetNeeded: an environment was never reset.
        """
        self._check_open()
        if self.render_mode is None:
            raise ConfigError("render: expected render_mode='rgb_array' when the worlds are made")
        self._check_begun("render")
        return tuple(self._images())

    def close_extras(self, **kwargs: Any) -> None:
        """Free what is held."""
        self._free()

    def _restart_now(
        self, envs: Indices, infos: dict[str, Any], observations: npt.NDArray[Any]
    ) -> tuple[dict[str, Any], npt.NDArray[Any]]:
        """Mode SAME_STEP: what the ended episodes last gave goes into info, the next ones begin."""
        n = self.num_envs
        final_obs = np.full(n, None, dtype=object)
        for env in envs:
            final_obs[env] = observations[env]
        final_info: dict[str, Any] = {}
        last = {key: values[envs] for key, values in infos.items() if not key.startswith("_")}
        put(final_info, last, envs, n)
        mask = np.zeros(n, dtype=np.bool_)
        mask[envs] = True
        put(infos, self._restart(envs, self._seeds(envs), {}), envs, n)
        infos |= {"final_obs": final_obs, "_final_obs": mask, "final_info": final_info}
        infos["_final_info"] = mask.copy()
        return infos, self._observe()

    def _restart(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        self._begun[envs] = False
        info = self._begin(envs, seeds, options)
        self._begun[envs], self._ended[envs], self._steps[envs] = True, False, 0
        return info

    def _listed(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """What was given for each environment."""
        if seed is None:
            return [None] * self.num_envs
        if not isinstance(seed, Sequence | np.ndarray):
            first = integer("seed", seed, 0)
            return [first + env for env in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ConfigError(
                f"seed: expected one for each of {self.num_envs} environments, got {len(seed)}"
            )
        return [None if one is None else integer("seed", one, 0) for one in seed]

    def _seeds(self, envs: Indices, given: Sequence[int | None] | None = None) -> list[int]:
        """The seed of each environment's episode; without one, the next of its own generator."""
        seeds = []
        for env in envs.tolist():
            own = None if given is None else given[env]
            generator = self._generators[env]
            if own is not None or generator is None:
                generator, _ = seeding.np_random(own)
                self._generators[env] = generator
            seeds.append(int(generator.integers(SEEDS)) if own is None else own)
        return seeds

    def _check_begun(self, call: str) -> None:
        self._check_open()
        if not self._begun.all():
            waiting = np.flatnonzero(~self._begun).tolist()
            raise ResetNeeded(f"expected a reset of environments {waiting} before {call}; call reset")

    def _check_running(self) -> None:
        self._check_open()
        waiting = ~self._begun
        if self.autoreset_mode == AutoresetMode.DISABLED:
            waiting = waiting | self._ended
        if waiting.any():
            raise ResetNeeded(
                f"expected a reset before step: environments {np.flatnonzero(waiting).tolist()} have no "
                "running episode; call reset, with options={'reset_mask': ...} for some of them"
            )


def put(infos: dict[str, Any], info: Info, envs: Indices, num_envs: int) -> dict[str, Any]:
    """Write rows of info into Gymnasium's form: an array of N for each key, and a mask `_key`."""
    for key, values in info.items():
        if key.startswith("_"):
            continue
        if len(envs) == num_envs:
            infos[key], infos[f"_{key}"] = values, np.ones(num_envs, dtype=np.bool_)
            continue
        if key not in infos:
            empty = None if values.dtype == object else 0
            infos[key] = np.full((num_envs, *values.shape[1:]), empty, dtype=values.dtype)
            infos[f"_{key}"] = np.zeros(num_envs, dtype=np.bool_)
        infos[key][envs] = values
        infos[f"_{key}"][envs] = True
    return infos


def _autoreset(mode: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError as err:
        known = ", ".join(repr(known.value) for known in AutoresetMode)
        raise ConfigError(f"autoreset_mode: expected one of {known}, got {mode!r}") from err


def _masked(mask: Any, num_envs: int) -> Indices:
    """Indices of the environments that a `reset_mask` chooses; all without one."""
    if mask is None:
        return np.arange(num_envs)
    flags = np.asarray(mask)
    if flags.shape != (num_envs,) or flags.dtype != np.bool_ or not flags.any():
        raise ConfigError(
            f"reset_mask: expected {num_envs} truth values, not all false, got {flags.dtype} {flags.shape}"
        )
    return np.flatnonzero(flags)
