"""Stages of commands that resume: the whole pipeline, and comparisons."""
