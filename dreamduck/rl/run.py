"""Train or watch an agent: `python -m baselines.run --alg=ppo2 --env=DreamDuck-v0 ...`.

The flags are those of OpenAI baselines, June 2019; any other `--key=value` goes to the algorithm
under its name of then. `docs/baselines.md` lists them."""

from __future__ import annotations

from dreamduck.common import command_line
from dreamduck.rl.command import main

if __name__ == "__main__":
    command_line.run(main)
