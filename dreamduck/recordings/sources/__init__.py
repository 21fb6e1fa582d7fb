"""Where episodes come from: a batch of environments, of Duckietown or of any Gymnasium id."""

from dreamduck.recordings.sources.action_space import DRIVING, ActionSpace
from dreamduck.recordings.sources.source import Source, SourceStep

__all__ = ["DRIVING", "ActionSpace", "Source", "SourceStep"]
