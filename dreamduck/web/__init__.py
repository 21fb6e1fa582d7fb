"""Driving in a browser: the page and its server."""
