"""A world model for Duckietown: three worlds to drive in, and the pipeline that makes them.

Importing this registers the environments with Gymnasium (by name only) and loads neither
TensorFlow, nor a simulator, nor MPI."""

from dreamduck.registration import register

__version__ = "0.2.0"

register()
