"""Saved agents: their files, their checkpoints, and their policies without an environment.

`networks` and `policies` stay beside this package: a saved agent names their classes by module."""
