"""Train or watch an agent: `python -m baselines.run --alg=ppo2 --env=DreamDuck-v0 ...`.

The flags are those of OpenAI baselines, June 2019; any other `--key=value` goes to the algorithm
under its name of then. `docs/baselines.md` lists them."""

if __name__ == "__main__":
    from dreamduck.cli import main

    main("rl")
