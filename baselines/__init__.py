"""The command `python -m baselines.run` of 2019, a shim for `python -m dreamduck.rl.run`."""
