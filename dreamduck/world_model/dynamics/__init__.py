"""The interface that all kinds of dynamics have, and the start states of dreams.

Dynamics predict what follows a latent and an action. Worlds, dreams, searches and evaluations use the class
`Dynamics` alone; `dreamduck.world_model.kinds` has the table of its kinds, of which a card names one."""

from dreamduck.world_model.dynamics.dynamics_files import DynamicsFiles
from dreamduck.world_model.dynamics.interface import Z_LIMIT, Dynamics
from dreamduck.world_model.dynamics.start_states import BEGINNINGS, FIRST, MIDWAY, InitialZ
from dreamduck.world_model.dynamics.state import (
    DynamicsSizes,
    FloatArray,
    GraphPerceive,
    GraphStep,
    Prediction,
    RecurrentState,
    Step,
    TensorStep,
)

__all__ = [
    "BEGINNINGS",
    "FIRST",
    "MIDWAY",
    "Z_LIMIT",
    "Dynamics",
    "DynamicsFiles",
    "DynamicsSizes",
    "FloatArray",
    "GraphPerceive",
    "GraphStep",
    "InitialZ",
    "Prediction",
    "RecurrentState",
    "Step",
    "TensorStep",
]
