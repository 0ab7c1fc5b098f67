"""What tests share."""

import os
from pathlib import Path

import pytest

# No test may reach for a hub; what it needs is in the repository, in an installed package, or in ../shared.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of shared data beside the repository."""
    if not SHARED.exists():
        pytest.skip("needs the shared data beside the repository, which is not there")
    return SHARED
