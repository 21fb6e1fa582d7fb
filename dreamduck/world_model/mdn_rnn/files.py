"""The MDN-RNN's weights on disk, see `DynamicsFiles`."""

from dreamduck.world_model.dynamics import DynamicsFiles
from dreamduck.world_model.mdn_rnn.layout import FORMAT, KIND, MDNRNNConfig
from dreamduck.world_model.weights_format import at_half_precision

FILES = DynamicsFiles(KIND, FORMAT, MDNRNNConfig)
WEIGHTS, CARD = FORMAT.weights, FORMAT.card
save, read_card, rounded = FILES.save, FILES.read_card, at_half_precision
