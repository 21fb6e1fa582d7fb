"""The command `python -m baselines.run`, and nothing else.

No package on PyPI provides that command of 2019 any more. The code is in `dreamduck.rl`;
`python -m dreamduck.rl.run` is the same program under a name that no other package has."""
