"""The trainings of all kinds of dynamics share this: data, evaluations, the card, start states."""

from __future__ import annotations

import abc
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, RecordError, WeightsError
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.world_model import fit
from dreamduck.world_model.dynamics import Dynamics, DynamicsSizes, FloatArray
from dreamduck.world_model.dynamics.start_states import (
    INITIAL_FILE,
    MIDWAY_FILE,
    InitialZ,
    find_midway,
    write_initial,
    write_midway,
)
from dreamduck.world_model.latents import Series, read_series
from dreamduck.world_model.mdn_rnn import batches, files
from dreamduck.world_model.mdn_rnn.layout import ALIVE, ENDED
from dreamduck.world_model.mdn_rnn.prediction_metrics import Measure, one_step_metrics
from dreamduck.world_model.mdn_rnn.trainer import reward_scale
from dreamduck.world_model.weights_format import Parameters

log = logging.getLogger(__name__)

MOST_REWARD = 60_000.0  # of a step; half precision ends at 65,504
TEST_STEPS = 20_000  # of each evaluation; the card's metrics are of all held-out episodes


class LearningData:
    """A series, split into the episodes to learn from and those held out.

    Args:
        path: of the series.
        limit: use only so many of each.
    Raises:
        RecordError: it cannot be read, or has rewards that weights do not hold.
    """

    def __init__(self, path: str, limit: int | None) -> None:
        self.series: Series = read_series(path)
        highest = float(np.abs(self.series.reward).max(initial=0.0))
        if highest > MOST_REWARD:
            raise RecordError(
                f"{path}: expected rewards within ±{MOST_REWARD:g}, which half precision holds, got "
                f"{highest:g}; scale those of the environment (gymnasium.wrappers.TransformReward)"
            )
        learning, testing = batches.split(self.series)
        self.learning, self.testing = learning[:limit], testing[:limit]
        self.scale = reward_scale(self.series, self.learning)
        kept = np.cumsum(self.series.lengths[self.testing]) <= TEST_STEPS
        self.quick = self.testing[: max(1, int(kept.sum()))]

    def describe(self) -> dict[str, Any]:
        """For the card."""
        series, (mean, spread) = self.series, (part.tolist() for part in self.scale)
        return {
            "fingerprint": series.fingerprint,
            "records": str(series.meta.get("records", "")),
            "episodes": len(self.learning),
            "held_out_episodes": len(self.testing),
            "steps": int(series.lengths[self.learning].sum()),
            "ends": int(series.done[series.offsets[1:][self.learning] - 1].sum()),
            "reward": {
                name: {"mean": mean[i], "spread": spread[i]}
                for name, i in (("step", ALIVE), ("end", ENDED))
            },
        }


class DynamicsSettings(fit.TrainingSettings, Protocol):
    """Further settings that a configuration must have."""

    @property
    def steps(self) -> int:
        """Batches to learn from."""
        ...

    @property
    def reward_weight(self) -> float:
        """Of the reward's loss beside the others."""
        ...

    @property
    def evaluate_every(self) -> int:
        """Steps between evaluations on the held-out episodes."""
        ...


class DynamicsFit(fit.Fit):
    """A training of dynamics.

    Args:
        config: the settings.
        data: to learn from.
        trainer: the network and its step.
        sizes: of the dynamics.
        bounds: (2, Z), the range of the latents.
        made_of: fingerprints of what it learns from, besides the data.

    Attributes:
        kind: makes the dynamics from parameters, sizes and card.
        learns_rewards: whether the series has rewards and ends to learn from.
    """

    name = "rnn"
    outputs = (files.WEIGHTS, files.CARD, INITIAL_FILE, MIDWAY_FILE)
    log_every = 10
    kind: ClassVar[type[Any]]
    learns_rewards = True

    def __init__(
        self,
        config: DynamicsSettings,
        data: LearningData,
        trainer: Any,
        sizes: DynamicsSizes,
        bounds: FloatArray,
        made_of: Mapping[str, str] | None = None,
    ) -> None:
        self.data, self.sizes, self.bounds = data, sizes, bounds
        self._evaluate_every, self.reward_weight = config.evaluate_every, config.reward_weight
        if self.learns_rewards and not data.series.meta.get("rewards", True):
            raise ConfigError(
                "series: expected rewards, got logs that have none; adapt a trained model to them with "
                "--adapt FOLDER"
            )
        made = {"data": data.series.fingerprint, **(made_of or {})}
        super().__init__(config, trainer, config.steps, made)
        log.info(
            "%d steps of %d episodes to learn from, %d episodes held out; %d batches",
            int(data.series.lengths[data.learning].sum()), len(data.learning), len(data.testing),
            config.steps,
        )  # fmt: skip

    @abc.abstractmethod
    def batch(self, step: int) -> batches.Batch:
        """The batch of a step."""

    @abc.abstractmethod
    def parameters(self) -> Parameters:
        """The weights as they would be shipped, at half precision where they were trained."""

    @abc.abstractmethod
    def measure(self, dynamics: Any) -> Measure:
        """A kind's own measures, besides rewards and ends."""

    @abc.abstractmethod
    def latent_loss(self, metrics: Mapping[str, float]) -> float:
        """The held-out loss, from the result of `measure`."""

    def batches(self) -> Iterator[batches.Batch]:
        """Of the steps that are left."""
        while True:
            yield self.batch(self.progress.step)

    def evaluates_after(self, step: int) -> bool:
        """Evaluate at the interval of the settings."""
        return step % self._evaluate_every == 0

    def evaluate(self) -> fit.Evaluation:
        """Measure predictions of the next step on episodes held out."""
        parameters = self.parameters()
        try:
            dynamics = self.adjust(self.kind(parameters, self.sizes), self.data.quick)
        except WeightsError:
            self.refuse()
        metrics = self._metrics(dynamics, self.data.quick)
        loss = self.latent_loss(metrics)
        if self.learns_rewards:
            loss += metrics["end_cross_entropy"]
        if self.learns_rewards and math.isfinite(metrics["reward_error"]):
            loss += self.reward_weight * metrics["reward_error"]
        log.info(
            "step %d: held-out loss %.4f, reward correlation %.3f, end AUC %.3f",
            self.progress.step, loss, metrics["reward_correlation"], metrics["end_auc"],
        )  # fmt: skip
        return fit.Evaluation(dynamics.parameters, metrics, loss)  # as they were measured

    def _metrics(self, dynamics: Dynamics, episodes: npt.NDArray[np.int64]) -> dict[str, float]:
        return one_step_metrics(
            dynamics, self.data.series, episodes.tolist(), measure=self.measure(dynamics)
        )

    def save_weights(self, parameters: Parameters, card: Mapping[str, Any]) -> None:
        """Write the weights and their card."""
        self.kind(parameters, self.sizes).save(Path(self.config.weights), {**card, **self._world()})

    def adjust(self, dynamics: Any, episodes: npt.NDArray[np.int64]) -> Any:
        """Dynamics with the corrections that are made when the training is over.

        Evaluations make them too: without them the best weights would be those that need them least.

        Args:
            dynamics: as trained.
            episodes: held out, to learn the corrections from.
        """
        return dynamics

    def finish(self, card: dict[str, Any]) -> dict[str, Any]:
        """Measure the best weights in full; write their card and the start states."""
        folder, data = Path(self.config.weights), self.data
        written = self.trainer.model.weights_format
        parameters = written.read(folder / files.WEIGHTS, self.sizes, self.sizes)
        dynamics = self.adjust(self.kind(parameters, self.sizes, self._world()), data.testing)
        metrics = self._metrics(dynamics, data.testing)
        held_out = {k: round(v, 5) if math.isfinite(v) else None for k, v in metrics.items()}
        card |= {"data": data.describe(), **self._world(), "metrics": {"held_out": held_out}}
        dynamics.save(folder, card)
        first = data.series.offsets[:-1][data.learning]
        write_initial(folder / INITIAL_FILE, InitialZ(data.series.mu[first], data.series.logvar[first]))
        write_midway(folder / MIDWAY_FILE, find_midway(dynamics, data.series, data.learning.tolist()))
        return files.read_card(folder)

    def _world(self) -> dict[str, Any]:
        """The card's entries that a dream needs: the range of latents, and the environment's settings."""
        low, high = (np.round(part.astype(float), 4).tolist() for part in self.bounds)
        environment = self.data.series.meta.get(ENVIRONMENT)
        known = {} if environment is None else {ENVIRONMENT: environment}
        return {"latents": {"low": low, "high": high}, **known}
