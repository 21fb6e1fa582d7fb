"""Episodes on disk: behaviour policies, files, coverage."""

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
