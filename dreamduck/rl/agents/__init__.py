"""Saved agents: their files, their checkpoints, and their policies without an environment.

`networks` and `policies` stay beside this package: Stable-Baselines3's part of a file names their classes."""
