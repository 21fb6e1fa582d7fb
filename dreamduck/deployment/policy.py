"""A deployed policy in Python: frames of N cars in, the duty of their wheels out, by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common import extras
from dreamduck.common.errors import FrameError, PolicyError, ResetNeeded
from dreamduck.common.readers import PathLike, read_bytes
from dreamduck.deployment.contract import METADATA, parse

POLICY = "policy.onnx"  # in the folder that `dreamduck deploy` writes
MOST_BYTES = 1 << 30

Frames = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class DeployedPolicy:
    """A file of `dreamduck deploy`, for N cars at once.

    Args:
        path: the file, or the folder that holds it.
        threads: of ONNX Runtime.
        calibration: (2,) gain and trim; those of the file by default.
    Raises:
        PolicyError: missing, damaged, or of another program.
        DependencyError: ONNX Runtime is not installed.

    Attributes:
        contract: what the file says of itself.
        last_action: (n, 2) throttle and steering of the last call, before they became duties.
    """

    def __init__(self, path: PathLike, threads: int = 1, calibration: npt.ArrayLike | None = None) -> None:
        path = Path(path)
        self.path = path / POLICY if path.is_dir() else path
        self._session = _session(self.path, threads)
        self.contract = parse(
            self._session.get_modelmeta().custom_metadata_map.get(METADATA), str(self.path)
        )
        self._size: int = self.contract["state_size"]
        self._given = {} if calibration is None else {"calibration": np.asarray(calibration, np.float32)}
        self._state: FloatArray | None = None
        self.last_action = np.zeros((0, 2), np.float32)

    @property
    def rate(self) -> float:
        """Steps a second."""
        return float(self.contract["rate"])

    def reset(self, cars: int = 1) -> None:
        """The episodes of N cars begin."""
        self._state = np.zeros((cars, self._size), np.float32)
        self.last_action = np.zeros((cars, 2), np.float32)

    def act(self, frames: Frames, cars: IntArray | None = None) -> FloatArray:
        """The duty of the wheels.

        Args:
            frames: (n, H, W, 3) uint8, RGB, of any size.
            cars: (n,) whose they are; all by default.
        Returns:
            (n, 2) left and right.
        Raises:
            FrameError: frames of another form, or of another number of cars.
            ResetNeeded: before the first `reset`.
        """
        if self._state is None:
            raise ResetNeeded("expected a reset before the first frame; call reset")
        state = self._state if cars is None else self._state[cars]
        count = len(state)
        fits = frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3 and frames.size > 0
        if not fits or len(frames) != count:
            raise FrameError(
                f"frames: expected uint8 ({count}, H, W, 3), got {frames.dtype} {frames.shape}"
            )
        inputs = {"frame": frames, "state": state, **self._given}
        duty, self.last_action, after = self._session.run(["duty", "action", "state_next"], inputs)
        self._state[slice(None) if cars is None else cars] = after
        return np.asarray(duty)


def _session(path: Path, threads: int) -> Any:
    """The file in ONNX Runtime; read as bytes, so that it cannot name other files."""
    with extras.needed("robot"):
        import onnxruntime
    data = read_bytes(path, PolicyError, most=MOST_BYTES)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # of a library that has no common class for them
        raise PolicyError(
            f"{path}: expected an ONNX file, got something else; write it with dreamduck deploy"
        ) from err
    return session
