"""Evolve a controller: the path of 2019 for `dreamduck evolve`."""

if __name__ == "__main__":
    from dreamduck.cli import main

    main("evolve")
