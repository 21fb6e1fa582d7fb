"""A world model for Duckietown: three worlds to drive in, and the pipeline that makes them.

Importing this registers the environments with Gymnasium (by name only) and loads neither
TensorFlow, nor a simulator, nor MPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dreamduck.registration import register

if TYPE_CHECKING:
    from dreamduck.world_model import WorldModel

__all__ = ["WorldModel", "__version__", "register"]
__version__ = "0.2.0"

register()


def __getattr__(name: str) -> Any:
    if name == "WorldModel":  # imported at first use, since it loads numba and h5py
        from dreamduck.world_model import WorldModel

        return WorldModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
