"""The MDN-RNN: the next latent, the reward, and whether the episode ends.

Prediction needs no TensorFlow (`step`); training loads it (`network`, `trainer`)."""

from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig
from dreamduck.world_model.mdn_rnn.step import MDNRNN, Prediction

__all__ = ["MDNRNN", "MDNRNNConfig", "Prediction"]
