"""Train the dynamics: the path of 2019 for `dreamduck train-rnn`."""

if __name__ == "__main__":
    from dreamduck.cli import main

    main("train-rnn")
