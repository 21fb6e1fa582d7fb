"""The gallery: `python scripts/gallery.py site/gallery` makes a folder for any static host.

Every figure stands beside the command that makes it again; the dream is one file, and links into it replay
a drive. `make gallery` builds the documentation with it."""

from __future__ import annotations

import argparse
import html
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dreamduck.common.storage import write_text
from dreamduck.web.share_link import Script, Start, on_grid, to_link
from dreamduck.world_model import WorldModel

DREAM = "dream.html"
SECONDS = 8  # of a drive that a link replays
STEP_RATE = 10  # steps a second
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dreamduck: gallery</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 80rem; margin: 0 auto; padding: 1rem; }}
main {{ display: grid; gap: 2rem; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }}
img {{ max-width: 100%; height: auto; }}
code {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
<header>
<h1>dreamduck: gallery</h1>
<p>Simulator and dream, with the weights that ship. <a href="../index.html">Documentation</a></p>
</header>
<main>
{entries}
</main>
</body>
</html>
"""


class Entry(NamedTuple):
    """A figure of the gallery.

    Attributes:
        title: its heading.
        file: its name.
        words: of `dreamduck figure`, without the file.
    """

    title: str
    file: str
    words: str


MAPS = ("loop_empty", "udem1", "zigzag_dists", "generated:3", "generated:17")
ENTRIES = (
    Entry("Road and dream, under the same actions", "split.gif", "split --steps 60"),
    Entry("Left, straight on, right, reverse from one moment", "steering.gif", "steering --steps 20"),
    Entry("A controller that drives in the dream", "dream.gif", "dream --steps 60"),
    *(
        Entry(
            f"Pure pursuit on {name}",
            f"{name.replace(':', '-')}.gif",
            f"picture --panels true,map --map-name {name} --steps 50",
        )
        for name in MAPS
    ),
    Entry("Every half second", "strip.png", "strip --steps 20 --every 5"),
    Entry("By temperature", "temperatures.png", "temperatures --steps 60 --every 20"),
    Entry("Single latents changed", "latents.png", "latents"),
    Entry("Error by time", "horizon.png", "horizon"),
)
DRIVES = {
    "Straight on": (0.5, 0.0),
    "To the left": (0.4, 0.5),
    "To the right": (0.4, -0.5),
    "In reverse": (-0.4, 0.0),
}


def main() -> None:
    """Make the gallery."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the gallery, for example site/gallery")
    build(parser.parse_args().folder)


def build(folder: Path) -> None:
    """Make the gallery in a folder, which may hold an older one.

    Args:
        folder: for its files.
    """
    from dreamduck.export.static_export import export
    from dreamduck.figures import command
    from dreamduck.web.session_factory import SessionFactoryConfig

    folder.mkdir(parents=True, exist_ok=True)
    export(folder / DREAM, SessionFactoryConfig())
    entries = [dream_entry(recorded_drives(folder / DREAM))]
    for entry in ENTRIES:
        command.main([*shlex.split(entry.words), "--out", str(folder / entry.file)])
        entries.append(figure_entry(entry))
    write_text(folder / "index.html", PAGE.format(entries="\n".join(entries)))
    print(f"wrote {folder / 'index.html'}")


def recorded_drives(path: Path) -> list[dict[str, Any]]:
    """The drives on the road that an exported dream holds: `map_name` and `actions` of each."""
    found = re.search(r'id="about">(.*?)</script>', path.read_text(encoding="utf-16"), re.DOTALL)
    return list(json.loads(found[1]).get("drives", [])) if found else []


def dream_entry(drives: Sequence[Mapping[str, Any]]) -> str:
    """The dream as one file, and links that replay drives in it.

    Args:
        drives: on the road, that the file holds.
    """
    temperature, steps = WorldModel.load().temperature, SECONDS * STEP_RATE
    found = {
        f"{name}, from one moment": link(Start(warm=True, map_name=""), [action] * steps, temperature)
        for name, action in DRIVES.items()
    } | {
        f"Road and dream on {drive['map_name']}": link(
            Start("split", drive["map_name"], warm=True), drive["actions"], temperature
        )
        for drive in drives
    }
    links = "".join(
        f'<li><a href="{target}">{html.escape(name)}</a></li>\n' for name, target in found.items()
    )
    return (
        f'<section><h2>The dream, to drive in</h2>\n<p><a href="{DREAM}">Open it</a>: one file, no server. '
        f"Drives in it:</p>\n<ul>\n{links}</ul>\n"
        f"<p><code>dreamduck export {DREAM}</code></p></section>"
    )


def link(start: Start, actions: Sequence[Sequence[float]], temperature: float) -> str:
    """A link into the dream that replays a drive.

    Args:
        start: of the drive.
        actions: [throttle, steering] of each step.
        temperature: of the dream.
    """
    taken = np.array([on_grid(action) for action in actions], np.float32).reshape(-1, 2)
    return f"{DREAM}#drive={to_link(Script(start, taken, (temperature,) * len(taken)))}"


def figure_entry(entry: Entry) -> str:
    """A figure, its caption and its command."""
    title, caption = html.escape(entry.title), Path(entry.file).with_suffix(".txt")
    command = html.escape(f"dreamduck figure {entry.words} --out {entry.file}")
    return (
        f'<section><h2>{title}</h2>\n<a href="{entry.file}"><img src="{entry.file}" alt="{title}" '
        f'loading="lazy"></a>\n<p><code>{command}</code> '
        f'<a href="{caption}">How it was made</a></p></section>'
    )


if __name__ == "__main__":
    main()
