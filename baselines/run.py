"""`python -m baselines.run`: the same as `python -m dreamduck.baselines.run`."""

from dreamduck import cli
from dreamduck.baselines.command import main

if __name__ == "__main__":
    cli.run(main)
