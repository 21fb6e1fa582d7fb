"""Recorded episodes, encoded.

Flow: vision -> [series] -> memory."""

from dreamduck.series.files import Series, read_series, write_series

__all__ = ["Series", "read_series", "write_series"]
