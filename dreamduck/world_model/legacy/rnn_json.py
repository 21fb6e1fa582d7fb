"""The MDN-RNN's weights as the 2019 code kept them: `rnn.json`.

The file is a list of four arrays, each value times 10,000 and
rounded to an integer, in the order in which TensorFlow 1 made the variables: the output layer
(H, 3KZ) and its bias, then the LSTM's kernel (inputs + H, 4H) and its bias. The output's columns are
(Z, 3, K). The LSTM's gates are input, candidate, forget, output, and 1 is added to the forget gate,
which is in no file. The variant for Doom made its LSTM first, so that the two pairs change places; it has
one more output, the first: the logit of an end; and one more input after the action: whether an episode
begins. Source: the format of WorldModelsExperiments."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.readers import JSON_LEGACY_BYTES, PathLike, begins_with, read_json
from dreamduck.world_model.mdn_rnn.layout import MIXTURES, MDNRNNConfig, check_parameters
from dreamduck.world_model.weights_format import Parameters

SCALE = 10_000
FORGET_BIAS = 1.0
NEVER = -30.0  # the logit of an end, where a file has none
ARRAYS = 4
FORM = "2019"  # as a card in memory names it
ACTIONS_IN_2019 = 3  # at most: of the car; Doom's one, and whether an episode begins
GATES = (0, 2, 1, 3)  # TensorFlow 1's i, j, f, o as Keras's i, f, c, o; the same the other way round


def is_legacy(path: PathLike) -> bool:
    """Whether a file looks like one of 2019, and not like a card."""
    return begins_with(path, b"[")


def read_legacy(
    path: PathLike, mixtures: int | None = None, z_size: int | None = None
) -> tuple[Parameters, MDNRNNConfig]:
    """Read an `rnn.json` of 2019, of whatever sizes.

    A file without rewards and ends gives an MDN-RNN that predicts rewards of 0 and no end. Of the Doom
    variant, the input that marks a beginning counts as the last number of the action.

    Args:
        mixtures: K, which the file does not hold.
        z_size: Z, where it is known; K then follows from it. With neither, the file must be of the form
            that all experiments of 2019 had: 5 Gaussians, and up to 3 actions.
    Raises:
        WeightsError: it is not such a file, or its sizes are ambiguous.
    """
    values = read_json(path, WeightsError, most=JSON_LEGACY_BYTES)
    if not isinstance(values, list) or len(values) != ARRAYS:
        raise WeightsError(f"{path}: expected a list of {ARRAYS} arrays, the 2019 form of an MDN-RNN")
    try:
        arrays = [np.asarray(value, dtype=np.float64) / SCALE for value in values]
    except (TypeError, ValueError, OverflowError) as err:
        raise WeightsError(f"{path}: expected arrays of integers ({err})") from err
    if [a.ndim for a in arrays] != [2, 1, 2, 1]:
        raise WeightsError(f"{path}: expected kernels and biases, got {[a.shape for a in arrays]}")
    if len(arrays[0]) > len(arrays[2]):  # the LSTM stands first: its kernel has rows for the inputs too
        arrays = arrays[2:] + arrays[:2]
    output, output_bias, kernel, bias = arrays
    hidden, width = output.shape
    named = bool(z_size or mixtures)
    mixtures = max(1, width // (3 * z_size)) if z_size else mixtures or MIXTURES
    ends = width % (3 * mixtures)
    z_size = width // (3 * mixtures)
    action_size = kernel.shape[0] - hidden - z_size
    fits = kernel.shape[1] == 4 * hidden == len(bias) and len(output_bias) == width
    if ends > 1 or z_size < 1 or action_size < 1 or not fits:
        raise WeightsError(
            f"{path}: {[a.shape for a in arrays]} are of no MDN-RNN with {mixtures} Gaussians a latent"
        )
    if not named and action_size > ACTIONS_IN_2019:
        raise WeightsError(
            f"{path}: its sizes do not follow from the file alone: with {mixtures} Gaussians it would "
            f"have {z_size} latents and {action_size} actions; expected initial_z.json beside it, which "
            "gives the number of latents (in Python: read_legacy(path, z_size=...))"
        )
    config = MDNRNNConfig(z_size, action_size, hidden, mixtures)
    gates, gates_bias = regroup(kernel), regroup(bias)
    gates_bias[hidden : 2 * hidden] += FORGET_BIAS
    shape = (-1, z_size, 3, mixtures)
    end, end_bias = np.zeros((hidden, 1)), np.full(1, NEVER)
    if ends:
        end, end_bias = output[:, :1], output_bias[:1]
    made = {
        "core/kernel": gates[: config.input_size],
        "core/recurrent_kernel": gates[config.input_size :],
        "core/bias": gates_bias,
        "head_mixture/kernel": output[:, ends:].reshape(shape).transpose(0, 2, 3, 1).reshape(hidden, -1),
        "head_mixture/bias": output_bias[ends:].reshape(shape).transpose(0, 2, 3, 1).reshape(-1),
        "head_reward/kernel": np.zeros((hidden, 2)),
        "head_reward/bias": np.zeros(2),
        "head_end/kernel": end,
        "head_end/bias": end_bias,
    }
    return check_parameters(made, config, str(path)), config


def regroup(gates: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Gates from TensorFlow 1's order to Keras's, or back; the last axis is 4H."""
    parts = np.split(gates, 4, axis=-1)
    return np.concatenate([parts[gate] for gate in GATES], axis=-1)
