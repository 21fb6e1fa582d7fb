"""Environments of any Gymnasium id, as Stable-Baselines3 takes them."""
