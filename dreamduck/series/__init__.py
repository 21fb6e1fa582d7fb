"""Recorded episodes, encoded."""
