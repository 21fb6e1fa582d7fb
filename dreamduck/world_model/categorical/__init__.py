"""The categorical state-space model: the next latent, the reward, and whether the episode ends.

A recurrent state h is deterministic; a set of categorical variables s is drawn, together, from h alone (the
prior, in a dream) or from h and the latent of a frame (the posterior). Prediction needs no TensorFlow
(`step`); training loads it (`network`, `trainer`)."""

from dreamduck.world_model.categorical.layout import CategoricalConfig
from dreamduck.world_model.categorical.step import CategoricalDynamics, CategoricalPrediction

__all__ = ["CategoricalConfig", "CategoricalDynamics", "CategoricalPrediction"]
