"""Reinforcement learning in any Gymnasium environment: OpenAI baselines' command line of June 2019.

Stable-Baselines3 and sb3-contrib do the work. `python -m baselines.run` and `python -m dreamduck.rl.run`
are the same program. Importing this package loads nothing.

`arguments`, `algorithms` and `engine_arguments` make a `run_plan`; `run` makes the `environments` and the
agent (`agents`) of it, and trains (`callback`, `logs`, `log_columns`)."""
