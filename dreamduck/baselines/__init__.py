"""The command of 2019, on a maintained engine."""
