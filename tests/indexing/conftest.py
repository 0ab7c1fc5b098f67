"""What the tests of search share."""

from pathlib import Path

import pytest

from tests.indexing import shop
from tests.reviews import copy


@pytest.fixture(scope="session")
def made_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop of tests/indexing/shop.py; not to be changed."""
    folder = tmp_path_factory.mktemp("shop") / "world"
    shop.make(folder)
    return folder


@pytest.fixture
def here(made_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shop, which is the working folder of the test."""
    folder = tmp_path / "world"
    copy(made_shop, folder)
    monkeypatch.chdir(folder)
    return folder
