"""PyTorch and Stable-Baselines3, set up once: the only place that imports them."""

from __future__ import annotations

import contextlib
import os

from dreamduck.common.extras import needed
from dreamduck.common.processes.threads import cores
from dreamduck.common.training_log import without_tensorflow

with needed("rl"):
    without_tensorflow()  # PyTorch's writer for TensorBoard would load it
    with contextlib.suppress(ImportError):
        from gym_notices.notices import notices

        notices.clear()  # Stable-Baselines3 imports legacy gym, which prints one about its age
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
        Logger,
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
    "Logger",
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
