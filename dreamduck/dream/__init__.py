"""Driving inside the memory."""
