"""Run a controller: the path of 2019 for `dreamduck evaluate`."""

if __name__ == "__main__":
    from dreamduck.cli import main

    main("evaluate")
