"""A trained policy as one file that drives a robot, without TensorFlow and without this package."""
