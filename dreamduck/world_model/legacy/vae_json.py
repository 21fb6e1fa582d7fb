"""The VAE's weights as the 2019 code kept them: `vae.json`.

The file is a list of arrays, each value times 10,000 and
rounded to an integer, in the order in which TensorFlow 1 made the variables (which is that of
`layout.shapes`). Source: the format of WorldModelsExperiments."""

from __future__ import annotations

import numpy as np

from dreamduck.common.errors import WeightsError
from dreamduck.common.readers import JSON_LEGACY_BYTES, PathLike, read_json
from dreamduck.world_model.vae.layout import check_parameters, shapes
from dreamduck.world_model.weights_format import Parameters

SCALE = 10_000


def read_legacy(path: PathLike) -> Parameters:
    """Read a `vae.json` of 2019, whatever the size of its latent.

    Raises:
        WeightsError: it is not such a file.
    """
    values = read_json(path, WeightsError, most=JSON_LEGACY_BYTES)
    expected = shapes(1)
    if not isinstance(values, list) or len(values) != len(expected):
        raise WeightsError(f"{path}: expected a list of {len(expected)} arrays, the 2019 form of a VAE")
    try:
        arrays = [np.asarray(value, dtype=np.float64) / SCALE for value in values]
    except (TypeError, ValueError, OverflowError) as err:
        raise WeightsError(f"{path}: expected arrays of integers ({err})") from err
    return check_parameters(dict(zip(expected, arrays, strict=True)), str(path))
