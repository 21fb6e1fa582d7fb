"""An MDN-RNN written as `rnn.json` of 2019; values are rounded to 1/10,000."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dreamduck.common.storage import write_json
from dreamduck.world_model.legacy.rnn_json import FORGET_BIAS, SCALE, regroup
from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig
from dreamduck.world_model.weights_format import Parameters


def write_rnn(path: Path, parameters: Parameters, config: MDNRNNConfig, ends: bool = False) -> None:
    """`ends` writes the Doom variant, with the logit of an end; rewards have no place in either form."""
    p, shape = parameters, (-1, 3, config.mixtures, config.z_size)
    output = p["head_mixture/kernel"].reshape(shape).transpose(0, 3, 1, 2).reshape(config.hidden_size, -1)
    output_bias = p["head_mixture/bias"].reshape(shape).transpose(0, 3, 1, 2).reshape(-1)
    if ends:
        output = np.concatenate([p["head_end/kernel"], output], axis=1)
        output_bias = np.concatenate([p["head_end/bias"], output_bias])
    kernel = regroup(np.concatenate([p["core/kernel"], p["core/recurrent_kernel"]]))
    bias = p["core/bias"].astype(np.float64)
    bias[config.hidden_size : 2 * config.hidden_size] -= FORGET_BIAS
    parts = [output, output_bias], [kernel, regroup(bias)]
    arrays = [*parts[ends], *parts[not ends]]
    write_json(path, [np.rint(a.astype(np.float64) * SCALE).astype(int).tolist() for a in arrays], None)
