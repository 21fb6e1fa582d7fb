"""Driving by hand: window, page, video."""
