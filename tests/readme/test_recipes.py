"""docs/recipes.md says what the settings' models say."""

from tests.readme.settings import PAGE, filled


def test_the_page_lists_every_setting():
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "type: python tests/readme/settings.py"


def test_every_setting_is_described():
    assert "| None |" not in PAGE.read_text(encoding="utf-8")
