"""TensorFlow and Keras, set up once: the only place that imports them.

Settings, with the reason for each (`benchmarks/vae.py` and `benchmarks/memory.py` measure them):
- oneDNN on: on processors without AVX-512 TensorFlow leaves it off; VAE training is 3.4 times
  faster with it.
- Memory growth on GPUs, so that several processes can share one."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import keras
import tensorflow as tf

from dreamduck.threads import cores

__all__ = ["has_gpu", "keras", "set_threads", "tf", "threads_used"]


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
