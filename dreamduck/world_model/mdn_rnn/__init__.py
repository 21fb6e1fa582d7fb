"""The MDN-RNN: what comes next, what it is worth, and whether it is the end.

Using it needs no TensorFlow (`step`), which is loaded for
training (`model`, `trainer`, `training`)."""

from __future__ import annotations

from pathlib import Path

from dreamduck.common.errors import WeightsError
from dreamduck.common.storage import PathLike, fingerprint
from dreamduck.world_model.mdn_rnn import files
from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig, Parameters
from dreamduck.world_model.mdn_rnn.start_states import InitialZ, read_initial, read_midway
from dreamduck.world_model.mdn_rnn.step import MDNRNN, LSTMState, Prediction

FIRST, MIDWAY = BEGINNINGS = ("first", "midway")

__all__ = [
    "BEGINNINGS",
    "MDNRNN",
    "InitialZ",
    "LSTMState",
    "MDNRNNConfig",
    "Prediction",
    "load",
    "load_initial",
    "read_config",
]


def load(folder: PathLike) -> MDNRNN:
    """The memory in a folder: `rnn.weights.h5` with its card, or else an `rnn.json` of 2019.

    Raises:
        WeightsError: there is none, or it is damaged.
    """
    from dreamduck.world_model.legacy.rnn_json import is_legacy, legacy_card

    if not (Path(folder) / files.WEIGHTS).exists() and is_legacy(Path(folder) / files.CARD):
        parameters, config = _read_legacy(Path(folder))
        return MDNRNN(parameters, config, legacy_card(parameters), fingerprint(Path(folder) / files.CARD))
    return MDNRNN(*files.load(folder))


def read_config(folder: PathLike) -> MDNRNNConfig:
    """The sizes of the memory in a folder, from its card alone.

    Raises:
        WeightsError: there is none, or it is damaged.
    """
    from dreamduck.world_model.legacy.rnn_json import is_legacy

    path = Path(folder) / files.CARD
    if not (Path(folder) / files.WEIGHTS).exists() and is_legacy(path):
        return _read_legacy(Path(folder))[1]
    return files.config_of(files.read_card(folder), str(path))


def _read_legacy(folder: Path) -> tuple[Parameters, MDNRNNConfig]:
    """A memory of 2019; the first latents, where they lie beside it, tell how many Gaussians it has."""
    from dreamduck.world_model.legacy.rnn_json import read_legacy

    initial = folder / files.INITIAL
    z_size = read_initial(initial).mu.shape[1] if initial.exists() else None
    return read_legacy(folder / files.CARD, z_size=z_size)


def load_initial(folder: PathLike, sizes: MDNRNNConfig, beginning: str = FIRST) -> InitialZ:
    """Where the dreams of a memory in a folder begin.

    Args:
        sizes: of the memory.
        beginning: "first", as recorded episodes do (`initial_z.json`), or "midway" (`midway.npz`).
    Raises:
        WeightsError: the file is missing, damaged or of another size.
    """
    if beginning == MIDWAY:
        path = Path(folder) / files.MIDWAY
        if not path.exists():
            raise WeightsError(
                f"{path}: no such file; write it with rnn_train.py, or give --beginning first"
            )
        return read_midway(path, sizes.z_size, sizes.hidden_size)
    path = Path(folder) / files.INITIAL
    initial = read_initial(path)
    if initial.mu.shape[1] != sizes.z_size:
        raise WeightsError(
            f"{path}: latents of {initial.mu.shape[1]} numbers, expected {sizes.z_size}; "
            "write it again with rnn_train.py"
        )
    return initial
