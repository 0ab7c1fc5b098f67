"""What the README's Python prints, and its table of inputs: `python tests/readme/printed.py` writes both anew."""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import sensorium  # noqa: E402
from tests.readme import example  # noqa: E402
from tests.readme.pages import pieces  # noqa: E402


def main() -> None:
    """Runs the block in a temporary folder and fills README.md and docs/metrics.md."""
    code = next(piece.text for piece in pieces(ROOT / "README.md") if piece.language == "python")
    said, names = io.StringIO(), {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        example.make(Path())
        with contextlib.redirect_stdout(said):
            exec(code, names)
        report = str(sensorium.evaluate(names["run"].model, names["test"]))
        os.chdir(ROOT)
    fill(ROOT / "README.md", "python", said.getvalue())
    table = re.search(r"^[^\n]*what each input is worth.*?(?=\n\n)", report, re.DOTALL | re.MULTILINE)
    fill(ROOT / "docs" / "metrics.md", "inputs", table[0])


def fill(page: Path, name: str, text: str) -> None:
    """Puts `text` in a block between `<!-- name -->` and `<!-- /name -->`."""
    before, rest = page.read_text(encoding="utf-8").split(f"<!-- {name} -->")
    _, after = rest.split(f"<!-- /{name} -->")
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    page.write_text(f"{before}<!-- {name} -->\n```text\n{lines}\n```\n<!-- /{name} -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
