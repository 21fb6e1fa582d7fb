"""Hooks of mkdocs: the site takes the repository's images from `media/`, so that each exists once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
# `../media/x.png` in docs/page.md and `../../media/x.png` in docs/folder/page.md, as GitHub resolves them.
LINK = re.compile(r"(\]\(|src=\")\.\./((?:\.\./)*media/)")


def on_files(files: Files, config: Any) -> Files:
    """Add the images to the site."""
    for path in sorted((ROOT / "media").glob("*.[pg][ni][gf]")):
        name = f"media/{path.name}"
        files.append(File(name, str(ROOT), config["site_dir"], config["use_directory_urls"]))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to the images at where they are in the site."""
    return LINK.sub(r"\1\2", markdown)
