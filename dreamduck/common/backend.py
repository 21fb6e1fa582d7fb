"""TensorFlow and Keras, set up once: the only place that imports them.

Settings, with the reason for each (`benchmarks/vae.py` and `benchmarks/mdn_rnn.py` measure them):
- oneDNN on: on processors without AVX-512 TensorFlow leaves it off; VAE training is 3.4 times
  faster with it.
- Memory growth on GPUs, so that several processes can share one.

Keras is loaded on TensorFlow whatever `KERAS_BACKEND` and `~/.keras/keras.json` say. Layers are given their
number type (`FLOAT`) and the order of a frame's axes (`CHANNELS`), so that the other settings in that file
change nothing here, and stay as they are for the user's own models."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from dreamduck.common.errors import DependencyError
from dreamduck.common.extras import needed
from dreamduck.common.processes.threads import cores

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
LEVEL = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

FLOAT = "float32"  # of every layer, and of all weights
MIXED = "mixed_bfloat16"  # products in half the bits, the rest and all weights as before
CHANNELS = "channels_last"  # a frame is (H, W, 3)
START_LINES = (b"I0000 ", b"WARNING: All log messages before absl::InitializeLog()")


def _load_keras() -> ModuleType:
    """Keras on TensorFlow; the environment stays as it was.

    Raises:
        DependencyError: Keras was loaded on another backend, or its settings file is damaged.
    """
    given = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        import keras
    except (AssertionError, TypeError, ValueError, AttributeError) as err:
        where = os.path.join(os.environ.get("KERAS_HOME", "~/.keras"), "keras.json")
        raise DependencyError(
            f"Keras cannot be loaded ({' '.join(str(err).split()) or type(err).__name__}); "
            f"correct its settings in {where}, or remove that file"
        ) from err
    finally:
        os.environ.pop("KERAS_BACKEND")
        if given is not None:
            os.environ["KERAS_BACKEND"] = given
    if keras.backend.backend() != "tensorflow":
        raise DependencyError(
            f"expected Keras on TensorFlow, got Keras on {keras.backend.backend()}, loaded before; "
            "import dreamduck.common.backend before keras, or set KERAS_BACKEND=tensorflow"
        )
    return keras


@contextlib.contextmanager
def _without_start_lines() -> Iterator[None]:
    """Leave out what TensorFlow's libraries write to standard error while they load, and keep the rest.

    They report that oneDNN is on before a log level can be set.
    """
    try:
        kept, lines = os.dup(2), tempfile.TemporaryFile()  # noqa: SIM115  (closed by the next block)
    except OSError:  # no standard error, or no room for a file
        yield
        return
    with lines:
        os.dup2(lines.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            lines.seek(0)
            for line in lines:
                if not line.startswith(START_LINES):
                    os.write(2, line)


with needed("train"), contextlib.nullcontext() if LEVEL in ("0", "1") else _without_start_lines():
    keras: Any = _load_keras()
    import tensorflow as tf


__all__ = ["CHANNELS", "FLOAT", "MIXED", "has_gpu", "keras", "set_threads", "tf", "threads_used"]


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def set_threads(threads: int) -> None:
    """Limit TensorFlow to so many cores; to be called before its first operation.

    Raises:
        RuntimeError: TensorFlow has already started its threads.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def threads_used() -> int:
    """What `set_threads` set, or all cores."""
    return tf.config.threading.get_intra_op_parallelism_threads() or cores()
