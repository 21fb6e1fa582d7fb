"""`python -m dreamduck`: the command line, where its console script is not on the PATH."""

from dreamduck.cli import main

if __name__ == "__main__":
    main()
