"""Episodes on disk: who drives them, how they are kept, whether they are good enough."""

from dreamduck.recordings.episode import TELEMETRY, Episode, read_episode, write_episode
from dreamduck.recordings.folder import Recordings, find_recordings, held_out, printable, reread, scan

__all__ = [
    "TELEMETRY",
    "Episode",
    "Recordings",
    "find_recordings",
    "held_out",
    "printable",
    "read_episode",
    "reread",
    "scan",
    "write_episode",
]
