"""`python -m baselines.run`: the same as `dreamduck rl`."""

if __name__ == "__main__":
    from dreamduck.cli import main

    main("rl")
