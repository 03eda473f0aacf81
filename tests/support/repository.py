"""Where the repository's own files stand, whatever room a test is in."""

from pathlib import Path

#: The folder with pyproject.toml.
ROOT = Path(__file__).parents[2]
