"""The weights that come with the package: where they lie."""

from pathlib import Path

FOLDER = Path(__file__).parent
