from pathlib import Path

import pytest

from tests.drive.model import write_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """Weights made up for tests, written once."""
    return write_model(tmp_path_factory.mktemp("model"))
