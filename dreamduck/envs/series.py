"""Encode recorded episodes: the path of 2019 for `dreamduck encode`."""

if __name__ == "__main__":
    from dreamduck.cli import main

    main("encode")
