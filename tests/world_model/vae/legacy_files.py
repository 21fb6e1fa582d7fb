"""A VAE written as `vae.json` of 2019; values are rounded to 1/10,000."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dreamduck.common.storage import write_json
from dreamduck.world_model.legacy.vae_json import SCALE
from dreamduck.world_model.weights_format import Parameters


def write_vae(path: Path, parameters: Parameters) -> None:
    arrays = [np.rint(a.astype(np.float64) * SCALE).astype(int).tolist() for a in parameters.values()]
    write_json(path, arrays, None)
