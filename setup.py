"""Packaging. The list of requirements is requirements.txt, the only one kept by hand."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements() -> list[str]:
    """The lines of requirements.txt that name a package."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and line[0] not in "#-"]


def version() -> str:
    """The version, from the package's own source."""
    for line in (ROOT / "dreamduck" / "__init__.py").read_text(encoding="utf-8").splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise RuntimeError("dreamduck/__init__.py has no __version__")


setup(
    name="dreamduck",
    version=version(),
    description="A world model for Duckietown: Gym environments and the pipeline that trains them",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=["dreamduck", "dreamduck.*", "baselines"]),
    package_data={
        "dreamduck": ["py.typed"],
        # envs/requirements.txt stays out: it names a file of the repository.
        "dreamduck.envs": ["*.bash", "*.ipynb"],
        "dreamduck.pretrained": ["*.h5", "*.json", "*.npz", "controllers/*.json", "agents/*"],
        "dreamduck.web": ["page/*", "page/**/*"],
    },
    install_requires=requirements(),
    extras_require={
        # For `make docs`.
        "docs": ["mkdocs-material>=9.6", "mkdocstrings[python]>=1.0"],
        "dev": [
            "build",
            "mkdocs-material>=9.6",
            "mkdocstrings[python]>=1.0",
            "mypy>=1.15",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "ipykernel>=6",
            "pre-commit>=3.5",
            "psutil>=6",
            "pytest>=8",
            "ruff>=0.9",
            "setuptools>=77",
            "types-PyYAML",
            "types-psutil",
            "types-tqdm",
        ],
    },
    entry_points={
        # Legacy gym registers plugins at `import gym`; Gymnasium has no such group any more.
        "gym.envs": ["__root__ = dreamduck.registration:register_legacy"],
    },
)
