"""A smaller search space: the principal components of controllers' features in the dream.

The units of h are correlated and of different scales, and a controller's weights on them are
thousands. A few dozen directions of [z, c, h] hold most of the variance; along these, each scaled to a
variance of 1, one step size suits all parameters and CMA-ES needs hundreds of evaluations instead of tens
of thousands. The controller that comes out is an ordinary one: its theta is the sum of the components,
weight by weight.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common import seeding
from dreamduck.common.errors import CheckpointError
from dreamduck.controllers.policy import ControllerForm, select
from dreamduck.recordings.action_policies import SmoothRandom
from dreamduck.recordings.behavior_policies import BehaviorPolicy, RandomWalk
from dreamduck.recordings.sources import DRIVING, ActionSpace

Vector = npt.NDArray[np.float64]

DREAMS, STEPS = 128, 100  # sampled for the components
SAMPLING = 4  # index of their random streams under a run's seed
NO_FRAME, NO_EXPERT = np.zeros((0, 0, 3), np.uint8), np.zeros(2)  # a random walk uses neither


@dataclasses.dataclass(frozen=True)
class Subspace:
    """Thetas that look at K components of the I features: theta = origin + expand(x).

    Attributes:
        form: of the controllers.
        mean: (I,) of the features.
        projection: (I, K), from features less their mean to components of variance 1.
        origin: (n,) the theta where x is zero.
    """

    form: ControllerForm
    mean: Vector
    projection: Vector
    origin: Vector

    @property
    def size(self) -> int:
        """m, the length of x: as theta, with K instead of I."""
        inputs, outputs = self.form.layers[0]
        return self.form.size - (inputs - self.projection.shape[1]) * outputs

    def expand(self, x: npt.ArrayLike) -> Vector:
        """(..., m) to thetas (..., n)."""
        given = np.asarray(x, dtype=np.float64)
        outputs = self.form.layers[0][1]
        biases = outputs if self.form.bias else 0
        lead, first = given.shape[:-1], biases + outputs * self.projection.shape[1]
        bias, rest = given[..., :biases], given[..., first:]
        weight = self.projection @ given[..., biases:first].reshape(*lead, -1, outputs)
        bias = bias - (self.mean @ weight)[..., :biases]
        return self.origin + np.concatenate([bias, weight.reshape(*lead, -1), rest], axis=-1)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All numbers, as arrays."""
        return {"mean": self.mean, "projection": self.projection, "origin": self.origin}

    @classmethod
    def restore(cls, form: ControllerForm, state: dict[str, npt.NDArray[Any]]) -> Subspace:
        """The subspace that `state` saved.

        Raises:
            CheckpointError: it does not fit the form.
        """
        try:
            made = cls(form, state["mean"], state["projection"], state["origin"])
        except KeyError as err:
            raise CheckpointError(f"state: the subspace has no {err}; start over with --fresh") from err
        inputs = form.inputs
        if made.mean.shape != (inputs,) or made.projection.shape[0] != inputs:
            raise CheckpointError(f"state: expected a subspace of {inputs} features, got {made.mean.shape}")
        return made


def find_subspace(
    dream: Any, form: ControllerForm, components: int, seed: int, origin: npt.ArrayLike | None = None
) -> Subspace:
    """The principal components of observations in dreams with smooth random walks of the actions.

    Args:
        dream: with `dynamics` and their `initial` latents, as `imagination.Dream` has them.
        components: K, or as many as there are features.
        seed: of the run.
        origin: (n,) the theta to begin with; zeros by default.
    """
    components = min(components, form.inputs)
    seen = select(form, sample_observations(dream, seed, form)).astype(np.float64)
    # Without biases a mean that is subtracted cannot be compensated.
    mean = seen.mean(axis=0) if form.bias else np.zeros(form.inputs)
    _, spread, directions = np.linalg.svd(seen - mean, full_matrices=False)
    spread = np.maximum(spread[:components] / np.sqrt(len(seen)), 1e-6)
    start = np.zeros(form.size) if origin is None else np.asarray(origin, dtype=np.float64)
    return Subspace(form, mean, directions[:components].T / spread, start)


def sample_observations(
    dream: Any, seed: int, form: ControllerForm | None = None
) -> npt.NDArray[np.float32]:
    """Observations (N, Z + C + H) from dreams; none after a dream's end.

    Args:
        dream: see `find_subspace`.
        seed: likewise.
        form: of the actions; throttle and steering by default.
    """
    from dreamduck.world_model.imagination.stepper import Dreams

    dreams = Dreams(dream.dynamics, dream.initial, DREAMS)
    places = [(seed, SAMPLING, number) for number in range(DREAMS)]
    dreams.reset([seeding.derive(*place) for place in places])
    streams = [seeding.generator(*place) for place in places]
    actions = DRIVING
    if form is None or form.action_kind == DRIVING.kind:
        walks: list[BehaviorPolicy] = [RandomWalk(stream, STEPS) for stream in streams]
    else:
        actions = ActionSpace(form.action_kind, form.actions)
        walks = [SmoothRandom(actions, stream) for stream in streams]
    alive = np.ones(DREAMS, dtype=np.bool_)
    found = []
    for step in range(STEPS):
        found.append(dreams.observation[alive])
        wanted = np.stack([walk.act(step, NO_FRAME, NO_EXPERT) for walk in walks])
        alive &= ~dreams.step(actions.executed(wanted)).ended
        if not alive.any():
            break
    return np.concatenate(found)
