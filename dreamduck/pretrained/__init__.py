"""The weights that come with the package: where they lie."""

from pathlib import Path

FOLDER = Path(__file__).parent  # of the world model
CONTROLLERS = FOLDER / "controllers"
AGENTS = FOLDER / "agents"
