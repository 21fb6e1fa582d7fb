"""Train the VAE: the path of 2019 for `dreamduck train-vae`."""

if __name__ == "__main__":
    from dreamduck.cli import main

    main("train-vae")
