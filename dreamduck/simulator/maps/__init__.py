"""Duckietown maps: tiles, lanes and where objects stand."""
