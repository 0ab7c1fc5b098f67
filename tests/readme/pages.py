"""The pages a user reads, cut into what can be run."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Commands that no test of ours runs, by how they begin or what they hold, and why.
ELSEWHERE = {
    "make ": "it builds an environment of its own; .ci/run types it",
    "pip install": "it installs packages",
    ".venv/bin/activate": "it changes the shell that it is typed in; .ci/run types it",
    "runs/demo": "it needs what `make demo` leaves; .ci/run types it",
    "torchrun ": "it starts processes of its own; tests/distributed holds what they must do",
    "accelerate launch": "it starts processes of its own; tests/distributed holds what they must do",
    ",pretrained=true": "it fetches weights from the hub",
    "openai/": "it fetches weights from the hub",
    "sentence-transformers/": "it fetches weights from the hub",
}


class Piece(NamedTuple):
    """Something a page tells the reader to run: a shell command, or a block of python, or a yaml file to write."""

    language: str
    text: str


def pages() -> list[Path]:
    """README.md and docs/*.md, without the page of mistakes, whose commands fail and have a test of their own."""
    return [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "mistakes.md")]


def pieces(page: Path) -> list[Piece]:
    """What `page` tells the reader to run, in order."""
    found = []
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "sh":
            found += [Piece("sh", command) for command in commands(text)]
        elif language in ("python", "yaml"):
            found.append(Piece(language, text))
    return found


def commands(text: str) -> list[str]:
    """The commands of a shell block, without comments; a backslash carries one over to the next line."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    bare = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines]
    return [line for line in bare if line]


def why_not(command: str) -> str | None:
    """Why no test here runs the command; None when one does."""
    return next((reason for part, reason in ELSEWHERE.items() if part in command), None)
