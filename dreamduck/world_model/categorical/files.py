"""The categorical state-space model's weights on disk, see `DynamicsFiles`."""

from dreamduck.world_model.categorical.layout import FORMAT, KIND, CategoricalConfig
from dreamduck.world_model.dynamics import DynamicsFiles

FILES = DynamicsFiles(KIND, FORMAT, CategoricalConfig)
WEIGHTS, CARD = FORMAT.weights, FORMAT.card
save = FILES.save
