"""What the tests of whole evaluations share."""

from pathlib import Path

import pytest
from tiny_models import write_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models in folders base, sft and kto."""
    return write_models(tmp_path_factory.mktemp("models"))
