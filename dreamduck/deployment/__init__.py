"""From a trained controller to a robot: one file, what runs it, and what it survives."""
