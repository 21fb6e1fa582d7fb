"""The gallery: all links lead to files that it has, and all commands and drives in links are valid."""

import html
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from dreamduck.common.config import from_arguments, given
from dreamduck.figures import command
from dreamduck.figures.config import FigureConfig, output_path
from dreamduck.web.share_link import from_link
from scripts import gallery

ROAD = {"map_name": "udem1", "actions": [[0.5, -0.25], [1.0, 0.0], [-1.0, 0.125]]}
EXPORTED = f'<body><script type="text/plain" id="about">{json.dumps({"drives": [ROAD]})}</script></body>'


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The gallery with empty files instead of figures and the dream."""
    folder = tmp_path_factory.mktemp("site") / "gallery"
    (folder.parent / "index.html").touch()

    def figure(words):
        path = Path(words[words.index("--out") + 1])
        path.touch()
        path.with_suffix(".txt").touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "main", figure)
        patch.setattr(
            "dreamduck.export.static_export.export",
            lambda path, config: path.write_text(EXPORTED, encoding="utf-16"),
        )
        gallery.build(folder)
    return folder


@pytest.fixture(scope="module")
def page(site):
    return (site / "index.html").read_text(encoding="utf-8")


def test_links_lead_somewhere(site, page):
    found = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert len(found) > 3 * len(gallery.ENTRIES)
    for target in found:
        assert (site / target.partition("#")[0]).is_file(), target
    shown = {target for target in re.findall(r'src="([^"]+)"', page)}
    assert shown == {entry.file for entry in gallery.ENTRIES}


def test_commands_are_valid():
    parser = command.build_parser()
    for entry in gallery.ENTRIES:
        words = shlex.split(entry.words)
        arguments = parser.parse_args(words)
        settings = from_arguments(FigureConfig, arguments)
        command.check_flags(arguments.kind, settings, given(parser, arguments, words))
        output_path(arguments.kind, entry.file)


def test_each_figure_stands_with_its_command(page):
    commands = [html.unescape(text) for text in re.findall(r"<code>([^<]+)</code>", page)]
    assert commands == [
        f"dreamduck export {gallery.DREAM}",
        *(f"dreamduck figure {entry.words} --out {entry.file}" for entry in gallery.ENTRIES),
    ]


def test_links_into_the_dream_replay_a_drive(page):
    links = re.findall(rf'href="{gallery.DREAM}#drive=([^"]+)"', page)
    *dreams, split = links
    assert len(dreams) == len(set(dreams)) == len(gallery.DRIVES)
    for letters, action in zip(dreams, gallery.DRIVES.values(), strict=True):
        script = from_link(letters)
        assert (script.start.world, script.start.warm) == ("dream", True)
        assert script.actions.shape == (80, 2)
        assert script.actions[0] == pytest.approx(action, abs=1e-4)
    script = from_link(split)
    assert (script.start.world, script.start.map_name, script.start.warm) == ("split", "udem1", True)
    assert script.actions == pytest.approx(np.array(ROAD["actions"]), abs=1e-4)
