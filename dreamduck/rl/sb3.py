"""PyTorch and Stable-Baselines3, set up once: the only place that imports them.

Two things that Stable-Baselines3 pulls in are kept out, which
saves 3 seconds and 300 MB in every process that trains:
- TensorFlow, through PyTorch's TensorBoard writer (tensorboard has a stub for what it needs);
- legacy gym, which prints a notice about its age."""

from __future__ import annotations

import contextlib
import os
import sys
import types
from collections.abc import Iterator

from dreamduck.common.threads import cores


@contextlib.contextmanager
def kept_out() -> Iterator[None]:
    """While this lasts, imports do not find legacy gym, and tensorboard uses its stub of TensorFlow."""
    # A module that is already loaded stays: whoever loaded it has paid for it.
    wanted: dict[str, types.ModuleType | None] = {}
    if "gym" not in sys.modules:
        wanted["gym"] = None
    if "tensorflow" not in sys.modules:
        wanted["tensorboard.compat.notf"] = types.ModuleType("notf")
    sys.modules.update(wanted)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in wanted:
            sys.modules.pop(name, None)


with kept_out():
    import sb3_contrib
    import stable_baselines3 as sb3
    import torch as th
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import (
        CSVOutputFormat,
        HumanOutputFormat,
        JSONOutputFormat,
        KVWriter,
        TensorBoardOutputFormat,
    )
    from stable_baselines3.common.monitor import ResultsWriter
    from stable_baselines3.common.noise import (
        ActionNoise,
        NormalActionNoise,
        OrnsteinUhlenbeckActionNoise,
    )
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
    from stable_baselines3.common.preprocessing import is_image_space
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
    from stable_baselines3.common.vec_env import (
        DummyVecEnv,
        VecEnv,
        VecEnvWrapper,
        VecMonitor,
        VecNormalize,
    )

__all__ = [
    "ActionNoise",
    "BaseAlgorithm",
    "BaseCallback",
    "BaseFeaturesExtractor",
    "CSVOutputFormat",
    "DummyVecEnv",
    "FlattenExtractor",
    "HumanOutputFormat",
    "JSONOutputFormat",
    "KVWriter",
    "NormalActionNoise",
    "OffPolicyAlgorithm",
    "OrnsteinUhlenbeckActionNoise",
    "RecurrentActorCriticPolicy",
    "ResultsWriter",
    "TensorBoardOutputFormat",
    "VecEnv",
    "VecEnvWrapper",
    "VecMonitor",
    "VecNormalize",
    "is_image_space",
    "kept_out",
    "sb3",
    "sb3_contrib",
    "set_threads",
    "th",
]


def set_threads(images: bool) -> int:
    """Set PyTorch's threads: half of the cores for images, one for small dense layers.

    Dense layers of 64 units are so small that handing them to a second core costs more than it
    brings. With images two threads on two cores are no quicker than one (`benchmarks/ppo.py`), and where
    something else is running they wait for each other. `OMP_NUM_THREADS`, where it is set, wins.

    Returns:
        The number of threads.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        th.set_num_threads(max(1, cores() // 2) if images else 1)
    return th.get_num_threads()
