"""Every error that dreamduck raises on purpose.

Each is also the built-in kind that fits, so that callers can catch either. A message says what
was expected, what was given, and what to do."""

from __future__ import annotations


class DreamDuckError(Exception):
    """The base class of all errors of dreamduck."""


class ConfigError(DreamDuckError, ValueError):
    """A setting is unknown or out of its range."""


class MapError(DreamDuckError, ValueError):
    """A map is unknown, or its file cannot be read."""


class ActionError(DreamDuckError, ValueError):
    """An action has the wrong shape, or is not finite."""


class StartError(DreamDuckError, ValueError):
    """A start pose cannot be driven from."""


class RecordError(DreamDuckError, ValueError):
    """A recording is missing, damaged or of another form."""


class SeriesError(DreamDuckError, ValueError):
    """A series file is missing, damaged or of another form."""


class FrameError(DreamDuckError, ValueError):
    """Frames or latents of the wrong shape or kind."""


class WeightsError(DreamDuckError, ValueError):
    """A weights file is missing, damaged or of another form."""


class ControllerError(DreamDuckError, ValueError):
    """A controller file is missing, damaged or of the wrong size."""


class CheckpointError(DreamDuckError, ValueError):
    """A training checkpoint does not fit the run that resumes from it."""


class PolicyError(DreamDuckError, ValueError):
    """A deployed policy is missing, damaged or of another form."""


class TrainingError(DreamDuckError, RuntimeError):
    """A training cannot continue (not a number, no data)."""


class SimulatorError(DreamDuckError, RuntimeError):
    """The simulator failed, or its process died."""


class DisplayError(DreamDuckError, RuntimeError):
    """There is no display for a window."""


class VideoError(DreamDuckError, RuntimeError):
    """The encoder could not write a video."""


class MessageError(DreamDuckError, ValueError):
    """The page's server does not know this message."""


class ResetNeeded(DreamDuckError, RuntimeError):
    """`step` or `render` came before `reset`."""


class DependencyError(DreamDuckError, ImportError):
    """A package or a system library is not installed."""
