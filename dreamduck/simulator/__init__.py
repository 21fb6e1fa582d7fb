"""The road, and the two simulators that can stand behind it."""

from dreamduck.simulator.compiled import forget_stale

forget_stale()
