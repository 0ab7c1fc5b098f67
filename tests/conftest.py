"""What tests share."""

import os
from pathlib import Path

import pytest

# No test may reach for a hub; what it needs is in the repository, in an installed package, or in ../shared.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Nor does a test take pretrained weights because they happen to be installed; the fixture `packs` does.
os.environ["SENSORIUM_PACKS"] = "0"

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of shared data beside the repository."""
    if not SHARED.exists():
        pytest.skip("needs the shared data beside the repository, which is not there")
    return SHARED


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> dict:
    """The packs of weights by name, all installed, which `fit` then takes by itself."""
    from sensorium.nn.packs import PACKS

    for pack in PACKS.values():
        if pack.location is None:
            pytest.skip(f"needs the package {pack.package} of the extra 'models', which is not installed")
    monkeypatch.delenv("SENSORIUM_PACKS")
    return PACKS


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table of tests/reviews.py, its files, and a run on it in runs/reviews; not to be changed."""
    from tests import reviews

    folder = tmp_path_factory.mktemp("reviews") / "world"
    reviews.make(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = reviews.sensorium(f"{reviews.FIT} --out runs/reviews")
    assert said.code == 0, said.err
    return folder


@pytest.fixture
def world(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `fitted`, which is the working folder of the test."""
    from tests import reviews

    folder = tmp_path / "world"
    reviews.copy(fitted, folder)
    monkeypatch.chdir(folder)
    return folder
