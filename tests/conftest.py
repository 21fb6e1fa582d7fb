"""Fixtures for every folder: a virtual display."""

from tests.display import display, x_server

__all__ = ["display", "x_server"]
