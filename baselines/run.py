"""`python -m baselines.run`: the same as `python -m dreamduck.rl.run`."""

from dreamduck.common import command_line
from dreamduck.rl.run import main

if __name__ == "__main__":
    command_line.run(main)
