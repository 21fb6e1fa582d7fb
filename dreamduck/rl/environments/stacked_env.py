"""Several `VecEnv` of Stable-Baselines3 as one, for example environments on several maps."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from dreamduck.rl.environments.vec_env import Infos
from dreamduck.rl.sb3 import VecEnv


class StackedVecEnv(VecEnv):
    """Several `VecEnv` of the same spaces as one.

    Args:
        parts: in the order of their environments; not empty.
    """

    def __init__(self, parts: Sequence[VecEnv]) -> None:
        self.parts = list(parts)
        starts = np.cumsum([0, *(part.num_envs for part in self.parts)]).tolist()
        self._slices = [slice(*pair) for pair in itertools.pairwise(starts)]
        super().__init__(starts[-1], self.parts[0].observation_space, self.parts[0].action_space)

    def reset(self) -> npt.NDArray[Any]:
        """Reset all environments; observations (N, ...)."""
        for part, rows in zip(self.parts, self._slices, strict=True):
            if self._seeds[rows.start] is not None:
                part.seed(self._seeds[rows.start])  # consecutive from there, as this one's
            part.set_options(self._options[rows])
        observations: list[Any] = [part.reset() for part in self.parts]
        self.reset_infos = [info for part in self.parts for info in part.reset_infos]
        self._reset_seeds()
        self._reset_options()
        return np.concatenate(observations)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Give each part its actions."""
        for part, rows in zip(self.parts, self._slices, strict=True):
            part.step_async(actions[rows])

    def step_wait(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.bool_], Infos]:
        """Step all environments.

        Returns:
            Observations (N, ...), rewards (N,), episode ends (N,), and infos.
        """
        steps: list[Any] = [part.step_wait() for part in self.parts]
        observations, rewards, ended, infos = zip(*steps, strict=True)
        return (
            np.concatenate(observations),
            np.concatenate(rewards),
            np.concatenate(ended),
            [info for part in infos for info in part],
        )

    def close(self) -> None:
        """Close the parts."""
        for part in self.parts:
            part.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """An image of each environment; None without a render mode."""
        return [image for part in self.parts for image in part.get_images()]

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """An attribute of each environment asked for."""
        values = [value for part in self.parts for value in part.get_attr(attr_name)]
        return [values[index] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Set an attribute of each environment asked for."""
        for part, rows in self._chosen(indices):
            part.set_attr(attr_name, value, rows)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: int | Iterable[int] | None = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of each environment asked for."""
        results: list[Any] = []
        for part, rows in self._chosen(indices):
            results += part.env_method(method_name, *method_args, indices=rows, **method_kwargs)
        return results

    def env_is_wrapped(
        self,
        wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]],
        indices: int | Iterable[int] | None = None,
    ) -> list[bool]:
        """Whether each environment asked for has such a wrapper."""
        found = [value for part in self.parts for value in part.env_is_wrapped(wrapper_class)]
        return [found[index] for index in self._get_indices(indices)]

    def _chosen(self, indices: int | Iterable[int] | None) -> Iterator[tuple[VecEnv, list[int]]]:
        """Each part, with those of its own environments that are asked for."""
        chosen = list(self._get_indices(indices))
        for part, rows in zip(self.parts, self._slices, strict=True):
            own = [index - rows.start for index in chosen if rows.start <= index < rows.stop]
            if own:
                yield part, own
