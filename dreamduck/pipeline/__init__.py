"""Stages of commands that resume: from nothing to a driver, and comparisons."""
