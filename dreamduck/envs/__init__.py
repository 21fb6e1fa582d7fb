"""The three worlds, and the scripts that are run by path."""
