"""Drives in the AI Driving Olympics, protocol `aido6_embodied_sys`: frames in, the duty of two wheels out.

The engine sends a message each cycle and waits for the answer. Needs numpy, onnxruntime, Pillow and
gym-duckiematrix."""

import io
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from gym_duckiematrix.gym_environment import GymEnvironment
from PIL import Image, UnidentifiedImageError

POLICY = Path(__file__).parent.parent / "models" / "policy.onnx"
EARLY = 0.005  # [s] that a message may come before its time

log = logging.getLogger("solution")


class Policy:
    """The policy of the file, at the rate that it learned with.

    Args:
        path: policy.onnx.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path.read_bytes(), options)
        metadata = self._session.get_modelmeta().custom_metadata_map
        contract = json.loads(metadata["dreamduck_contract"])
        self._period, self._size = 1.0 / contract["rate"], contract["state_size"]
        self.reset()

    def reset(self) -> None:
        """An episode begins."""
        self._state = np.zeros((1, self._size), np.float32)
        self._duty = (0.0, 0.0)
        self._first: float | None = None  # time of the first message
        self._last: float | None = None  # time of the last step

    def __call__(self, image: bytes | None, time: float | None) -> tuple[float, float]:
        """The duty of the left and the right wheel; zeros where there is no frame.

        Args:
            image: a JPEG.
            time: of the simulation [s]; where it is None, or stands still, every message counts.
        """
        frame = decoded(image)
        if frame is None:
            return 0.0, 0.0
        if time is not None and self._last is not None:
            if time < self._last:
                self.reset()
            elif time != self._first and time < self._last + self._period - EARLY:
                return self._duty
        self._last = time
        self._first = time if self._first is None else self._first
        duty, self._state = self._session.run(
            ["duty", "state_next"], {"frame": frame[None], "state": self._state}
        )
        if not (np.isfinite(duty).all() and np.isfinite(self._state).all()):
            log.error("the policy gave a number that is not finite; its state begins again")
            self.reset()
        else:
            self._duty = (float(duty[0, 0]), float(duty[0, 1]))
        return self._duty


def decoded(image: bytes | None) -> Any:
    """The frame of a JPEG, (H, W, 3) uint8 RGB; None where it is none."""
    if not image:
        return None
    try:
        with Image.open(io.BytesIO(image)) as opened:
            return np.asarray(opened.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError):
        log.warning("frame skipped: expected a JPEG")
        return None


def image_of(entity: dict[str, Any]) -> bytes | None:
    """The JPEG in the engine's observations of a vehicle."""
    data = (entity.get("compressed_image") or {}).get("data")
    return bytes(data) if isinstance(data, bytes | bytearray | memoryview | list) else None


def time_of(entity: dict[str, Any]) -> float | None:
    """The time of the simulation [s], by the header of the pose or of the frame."""
    for name in ("pose", "compressed_image"):
        time = ((entity.get(name) or {}).get("header") or {}).get("timestamp")
        if isinstance(time, int | float):
            return float(time)
    return None


def main() -> None:
    """Drive until the container is stopped."""
    logging.basicConfig(level=logging.INFO)
    policy = Policy(POLICY)
    port = os.environ.get("DUCKIEMATRIX_ENGINE_PORT") or os.environ.get("ENGINE_PORT") or "7501"
    host = os.environ.get("DUCKIEMATRIX_ENGINE_HOSTNAME", "127.0.0.1")
    environment = GymEnvironment(host=host, port=int(port))
    names = environment.vehicle_names
    wanted = os.environ.get("VEHICLE_NAME", "")
    name = wanted if wanted in names else names[0]

    def answer(world_input: dict[str, Any]) -> None:
        duty = 0.0, 0.0
        try:
            entity = (world_input.get("entities") or {}).get(name) or {}
            duty = policy(image_of(entity), time_of(entity))
        except Exception as err:  # the engine waits for an answer, whatever its message was
            log.error("the wheels stand: expected a message with a frame of %s, got %s", name, err)
        environment.step({name: duty})

    environment.attach(answer)
    environment.start()
    try:
        threading.Event().wait()
    finally:
        environment.stop()


if __name__ == "__main__":
    main()
