"""A window that shows a world and reads keyboard and gamepad."""
