"""Many worlds at once: `gymnasium.make_vec` for v0 and v2, stepped as one batch.

Source: Gymnasium's vector API and its three autoreset modes. An
environment here gives what `gymnasium.vector.SyncVectorEnv` over single worlds gives, only faster."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from dreamduck.common.config import from_mapping, integer
from dreamduck.common.errors import ConfigError, ResetNeeded, SimulatorError
from dreamduck.envs.world import PICTURE_HEIGHT, PICTURE_WIDTH, SEEDS, check_options, check_start
from dreamduck.simulator.base import ENDS, CarState, FloatArray, Frames
from dreamduck.simulator.road import Road, RoadConfig, check_actions, in_lane

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Info = dict[str, npt.NDArray[Any]]  # a row for each environment that it speaks of


class BatchVectorEnv(VectorEnv[Any, Any, Any], abc.ABC):
    """N worlds in one batch; a subclass says how episodes begin and go on.

    Args:
        num_envs: N.
        single_observation_space: of one world.
        fps: steps of the world a second.
        render_mode: None or "rgb_array".
        max_episode_steps: episodes are truncated after so many steps, as Gymnasium's `TimeLimit` does for
            single worlds; None for never.
        autoreset_mode: when an ended episode is followed by the next: "NextStep", "SameStep", "Disabled".
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    options: ClassVar[tuple[str, ...]] = ("start",)

    def __init__(
        self,
        num_envs: int,
        single_observation_space: spaces.Box,
        fps: float,
        render_mode: str | None,
        max_episode_steps: int | None,
        autoreset_mode: str | AutoresetMode,
    ) -> None:
        num_envs = integer("num_envs", num_envs, 1)
        if max_episode_steps is not None:
            max_episode_steps = integer("max_episode_steps", max_episode_steps, 1)
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(
                f"render_mode: expected None or 'rgb_array' for many worlds at once, got {render_mode!r}; "
                "make a single world to watch it in a window"
            )
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.max_episode_steps = max_episode_steps
        self.autoreset_mode = _autoreset(autoreset_mode)
        self.metadata = {
            **type(self).metadata,
            "render_fps": fps,
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = single_observation_space
        self.single_action_space = spaces.Box(-1.0, 1.0, (2,), dtype=np.float32)
        self.observation_space = batch_space(single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._begun = np.zeros(num_envs, dtype=np.bool_)
        self._ended = np.zeros(num_envs, dtype=np.bool_)

    @abc.abstractmethod
    def _begin(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        """Begin the episodes of these seeds in these environments; gives their info, a row each."""

    @abc.abstractmethod
    def _advance(self, actions: FloatArray) -> tuple[npt.NDArray[Any], Flags, Info]:
        """Step all environments, ended ones too; gives rewards, terminated, info, (N,) each."""

    @abc.abstractmethod
    def _pictures(self) -> tuple[Frames, ...]:
        """What `render` shows of each environment."""

    @abc.abstractmethod
    def _observe(self) -> npt.NDArray[Any]:
        """The observations as they are now, (N, ...), not used again afterwards."""

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
        checked = self._check_options(given, envs)
        if given_seeds[0] is not None:
            self._np_random, self._np_random_seed = seeding.np_random(given_seeds[0])
        info = self._restart(envs, self._seeds(envs, given_seeds), checked)
        return self._observe(), put({}, info, envs, self.num_envs)

    def step(
        self, actions: Any
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Step every environment; ended ones go on as the autoreset mode says.

        Raises:
            ActionError: the actions have the wrong shape or are not finite.
            ResetNeeded: before the first reset; after an end, if autoreset is disabled.
        """
        checked = check_actions(actions, self.num_envs)
        self._check_running()
        rewards, terminated, info = self._advance(checked)
        rewards = rewards.astype(np.float64)
        self._steps += 1
        truncated: Flags = self._steps >= (self.max_episode_steps or np.inf)  # as Gymnasium's TimeLimit
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
        """A picture of each environment, as the single world shows it, in mode "rgb_array".

        Raises:
            ConfigError: made without a render mode. ResetNeeded: an environment was never reset.
        """
        self._check_open()
        if self.render_mode is None:
            raise ConfigError("render: expected render_mode='rgb_array' when the worlds are made")
        if not self._begun.all():
            waiting = np.flatnonzero(~self._begun).tolist()
            raise ResetNeeded(f"expected a reset of environments {waiting} before render; call reset")
        return self._pictures()

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

    def _check_options(self, options: dict[str, Any], envs: Indices) -> dict[str, Any]:
        """The options, with `start` as (n, 3), a row for each environment that is reset."""
        checked = check_options({**options, "start": None} if "start" in options else options, self.options)
        if options.get("start") is not None:
            checked["start"] = check_start(options["start"], self.num_envs)[envs]
        return checked

    def _check_open(self) -> None:
        if self.closed:
            raise SimulatorError("these worlds are closed; expected open ones, make others")

    def _check_running(self) -> None:
        self._check_open()
        waiting = ~self._begun
        if self.autoreset_mode == AutoresetMode.DISABLED:
            waiting = waiting | self._ended
        if waiting.any():
            raise ResetNeeded(
                f"expected a reset before step: environments {np.flatnonzero(waiting).tolist()} have no "
                "episode that goes on; call reset, with options={'reset_mask': ...} for some of them"
            )


class DuckVectorEnv(BatchVectorEnv):
    """`DreamDuck-v0`, N cars at once; see `DuckEnv` for what a car does, sees and is told.

    `info` holds arrays of N rows: `pose` is (N, 3), `tile` (N, 2), `end` N strings.

    Args:
        num_envs, render_mode, max_episode_steps, autoreset_mode: see `BatchVectorEnv`.
        threads: for the native simulator, how many cores to use; all by default.
        settings: the fields of `RoadConfig`.
    """

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
        self.config = from_mapping(RoadConfig, settings)
        shape = (self.config.camera_height, self.config.camera_width, 3)
        super().__init__(
            num_envs,
            spaces.Box(0, 255, shape, dtype=np.uint8),
            1.0 / self.config.step_time,
            render_mode,
            max_episode_steps,
            autoreset_mode,
        )
        extra = {} if threads is None else {"threads": integer("threads", threads, 1)}
        self.road = Road(self.config, self.num_envs, **extra)

    def _begin(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        state = self.road.reset(seeds, options.get("start"), envs)
        return {key: values[envs] for key, values in cars_info(state).items()}

    def _advance(self, actions: FloatArray) -> tuple[npt.NDArray[Any], Flags, Info]:
        state, rewards, terminated = self.road.step(actions)
        return rewards, terminated.copy(), cars_info(state)

    def _observe(self) -> Frames:
        return self.road.frames()

    def _pictures(self) -> tuple[Frames, ...]:
        cars = range(self.num_envs)
        return tuple(self.road.view("camera", PICTURE_WIDTH, PICTURE_HEIGHT, car) for car in cars)

    def close_extras(self, **kwargs: Any) -> None:
        """Free the simulator."""
        road = getattr(self, "road", None)
        if road is not None:
            road.close()


def cars_info(state: CarState) -> Info:
    """What `info` says of all cars; see `road.car_info` for one."""
    return {
        "lane_dist": state.lane_dist.copy(),
        "lane_angle": state.lane_angle.copy(),
        "in_lane": in_lane(state),
        "speed": state.speed.copy(),
        "pose": state.pose.copy(),
        "tile": state.tile.copy(),
        "simulator_reward": state.simulator_reward.copy(),
        "proximity_penalty": state.proximity_penalty.copy(),
        "end": np.array(ENDS, dtype=object)[state.end],
    }


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
