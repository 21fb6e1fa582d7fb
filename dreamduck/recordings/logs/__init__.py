"""Logs of other programs, of a robot above all, as recordings of ours."""
