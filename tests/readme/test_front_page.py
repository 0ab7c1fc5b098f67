"""What README.md promises: a command and a reason soon, five lines of Python, every page linked."""

import re
from pathlib import Path

import sensorium
from tests.readme.pages import ROOT, pieces
from tests.readme.test_commands import LINK

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
WORD = re.compile(r"\w[\w'-]*")


def prose(text: str) -> list[str]:
    """The words of a page without its code, tables, pictures, headings and marks."""
    text = re.sub(r"!\[[^]]*\]\([^)]*\)|<!--.*?-->", "", FENCED.sub("", text))
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#"))]
    return WORD.findall(re.sub(r"\]\([^)]*\)", "]", " ".join(lines)))


def test_the_first_command_and_the_reason_come_soon():
    assert len(prose(README[: README.index("```sh")])) <= 60
    reason = README.index("| | Sensorium |")
    assert len(prose(README[:reason])) <= 200


def test_the_words_are_those_of_the_prose():
    text = "# No\n\nTwo [words](docs/no.md).\n![no](no.png)\n<!-- no -->\n```sh\nno\n```\n| no |\n"
    assert prose(text) == ["Two", "words"]


def test_the_reasons_are_five_rows_of_which_one_says_what_we_lack():
    table = README[README.index("| | Sensorium |") :].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) == 5
    assert "we lack" in rows[-1]


def test_five_lines_of_python_end_in_a_data_frame():
    (code,) = [piece.text for piece in pieces(ROOT / "README.md") if piece.language == "python"]
    assert len(code.splitlines()) <= 5
    shown = README.split("<!-- frame -->\n```text\n")[1].partition("\n```")[0].splitlines()
    assert len(shown) == 7  # names of columns, and the six records of new.csv
    assert "sentiment_probability_pleased" in shown[0]


def test_marked_places_are_filled():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"^<!-- (\w+) -->$", text, re.MULTILINE):
            assert text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip(), f"{page.name}: {name}"
    shown = README.split("<!-- demo -->\n```text\n")[1].partition("\n```")[0]
    assert len(shown.splitlines()) == 8
    assert shown in (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")


def test_the_picture_of_a_report_is_small():
    picture = ROOT / "docs" / "pictures" / "report.png"
    assert "](docs/pictures/report.png)" in README
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert picture.stat().st_size <= 200_000


def test_every_page_is_linked_and_in_the_menu():
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(LINK.findall(README))
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    assert pages <= {f"docs/{name}" for name in re.findall(r"(\S+\.md)$", menu, re.MULTILINE)}


def test_the_reference_has_every_public_name():
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    names = re.findall(r"^::: sensorium\.(\w+)$", reference, re.MULTILINE)
    assert sorted(names) == sorted(sensorium.__all__)


def test_what_pip_installs_is_in_the_clone():
    """The package is not published: pages name the clone, '.'; docs/mistakes.md quotes messages of an installed one."""
    pages: list[Path] = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        installed = re.findall(r"pip\s+install\s+(?:--\S+\s+)*(['\"]?[\w.\[\],]+)", text)
        ours = [name for name in installed if "sensorium" in name]
        assert not ours or page.name == "mistakes.md", f"{page.name}: {ours}"
