"""Makes simulators by name; each is imported only where it is asked for."""

from __future__ import annotations

from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.simulator.base import SIMULATORS, Simulator, SimulatorConfig


def make_simulator(
    simulator: str, config: SimulatorConfig, num_cars: int = 1, **settings: Any
) -> Simulator:
    """Build one of `SIMULATORS`.

    Args:
        settings: for native only: `threads`, the number of cores to use.
    Raises:
        ConfigError: an unknown name. MapError: an unknown map.
    """
    if simulator == "native":
        from dreamduck.simulator.native import NativeSimulator

        return NativeSimulator(config, num_cars, **settings)
    if simulator == "gym-duckietown":
        from dreamduck.simulator.gym_duckietown.client import UpstreamSimulator

        return UpstreamSimulator(config, num_cars)
    raise ConfigError(f"simulator: expected one of {', '.join(SIMULATORS)}, got {simulator!r}")
