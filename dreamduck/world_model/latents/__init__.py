"""Recorded episodes, encoded."""

from dreamduck.world_model.latents.series import Series, read_series, write_series

__all__ = ["Series", "read_series", "write_series"]
