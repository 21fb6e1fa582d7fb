"""Record episodes: the path of 2019 for `dreamduck record`."""

if __name__ == "__main__":
    from dreamduck.cli import main

    main("record")
