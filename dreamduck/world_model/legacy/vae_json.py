"""The VAE's weights as the 2019 code kept them: `vae.json`.

The file is a list of arrays, each value times 10,000 and
rounded to an integer, in the order in which TensorFlow 1 made the variables (which is that of
`layout.shapes`). Source: the format of WorldModelsExperiments."""

from __future__ import annotations

import numpy as np

from dreamduck.common.errors import WeightsError
from dreamduck.common.readers import JSON_LEGACY_BYTES, PathLike, read_json
from dreamduck.common.storage import write_json
from dreamduck.world_model.vae.layout import PAPER, check_parameters, shapes, sizes_of
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


def write_legacy(path: PathLike, parameters: Parameters) -> None:
    """Write weights as `vae.json` of 2019; values are rounded to 1/10,000.

    Raises:
        WeightsError: they are of another network than 2019's.
    """
    checked = check_parameters(parameters, "parameters")
    network = sizes_of(checked).network
    if network != PAPER:
        raise WeightsError(f"{path}: expected a VAE of 2019's network, got {network}; its files are HDF5")
    write_json(
        path, [np.rint(a.astype(np.float64) * SCALE).astype(int).tolist() for a in checked.values()], None
    )
