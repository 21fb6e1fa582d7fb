"""Gym-duckietown, the reference simulator, in a process of its own."""
