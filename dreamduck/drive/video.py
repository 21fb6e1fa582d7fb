"""Films stand in `dreamduck.video`, where every stage may use them."""

from dreamduck.video import side_by_side, write_video

__all__ = ["side_by_side", "write_video"]
