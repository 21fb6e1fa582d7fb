"""Reinforcement learning in any Gymnasium environment: OpenAI baselines' command line of June 2019.

Stable-Baselines3 and sb3-contrib do the work. `python -m baselines.run` and `python -m dreamduck.rl.run`
are the same program. Importing this package loads nothing.

Flow: `arguments` and `algorithms` -> `run_plan` -> `run`, which makes the environments (`env_factory`,
`vec_env`, `wrappers`) and the agent (`networks`, `policies`, `checkpoint`, `agent_file`), and trains it
(`callback`, `logs`, `log_columns`)."""
