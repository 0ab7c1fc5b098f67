"""The wheel and the source distribution: what they hold, and that they run where nothing of this checkout is."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.readme import example
from tests.readme.pages import ROOT

pytestmark = pytest.mark.slow

PROGRAM = """
import sensorium
assert sensorium.__file__.startswith({folder!r}), sensorium.__file__
run = sensorium.fit("reviews.csv", "run", target="sentiment", group="author", epochs=1, workers=0, quiet=True)
frame = sensorium.predict("run", "new.csv", quiet=True)
assert len(frame) == 6 and "sentiment_probability_pleased" in frame
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By their ending, the wheel and the sdist; the wheel is built from the sdist."""
    pytest.importorskip("build", reason="needs the package build, which is not installed")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return {path.suffix: path for path in folder.iterdir()}


def test_they_hold_all_that_the_source_has(built):
    source = ROOT / "src"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name and not name.endswith(".pyc")}
    assert {"sensorium/py.typed", "sensorium/reports/style.css", "sensorium/reports/templates/page.html.j2"} <= files
    with zipfile.ZipFile(built[".whl"]) as wheel:
        assert files <= set(wheel.namelist())
    with tarfile.open(built[".gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {f"src/{name}" for name in files} | {"README.md", "LICENSE", "pyproject.toml", "tests/conftest.py"} <= names


def test_the_wheel_runs_in_a_bare_environment(built, tmp_path):
    """The environment has the wheel alone; what the wheel needs is lent by this one, for minutes would be too long."""
    venv.create(tmp_path / "venv", with_pip=True)
    python, example_folder = tmp_path / "venv" / "bin" / "python", tmp_path / "example"
    subprocess.run([python, "-I", "-m", "pip", "install", "--quiet", "--no-deps", built[".whl"]], check=True)
    example_folder.mkdir()
    example.make(example_folder, reviews=60)
    lent = [path for path in sys.path if path.endswith("site-packages")]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(lent), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def output_of(*command: str | Path) -> str:
        return subprocess.run(
            command, cwd=example_folder, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert output_of(tmp_path / "venv" / "bin" / "sensorium", "--version").split() == ["sensorium", "0.1.0"]
    output_of(python, "-c", PROGRAM.format(folder=str(tmp_path)))
    assert (example_folder / "run" / "report.html").stat().st_size > 10_000
