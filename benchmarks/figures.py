"""What README.md and docs/ print, made again: `python benchmarks/figures.py` fills every marked place of the pages.

    python benchmarks/figures.py [demo] [example] [settings] [--folder FOLDER]

demo:     `make demo` in a copy of this tree: size and minutes, eight lines and the picture of the report for README.md,
          the whole output for docs/demo.md. Takes minutes and gigabytes; the picture needs chromium and playwright.
example:  the table that tests/readme/example.py writes: what Python prints on README.md, docs/fit-your-own-table.md
          and docs/tables.md, and the table of inputs on docs/metrics.md.
settings: the tables of docs/recipes.md.

A place lies between `<!-- NAME -->` and `<!-- /NAME -->`. Only what was obtained is printed. With
--folder, what an earlier call installed there is used again.
"""

import argparse
import contextlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.readme import example, settings  # noqa: E402
from tests.readme.pages import pieces  # noqa: E402

import sensorium  # noqa: E402

README, DOCS = ROOT / "README.md", ROOT / "docs"
TABLE_PAGE = DOCS / "fit-your-own-table.md"
PICTURE = DOCS / "pictures" / "report.png"
COLUMNS = "100"  # of the screen whose output is printed
EXCERPT = re.compile(r"^category: ", re.MULTILINE)
"""The line of the demo's output at which the eight lines on README.md begin: the verdict."""

FOLLOWING = "sensorium predict runs/demo runs/demo-data/emoji.csv --out predictions.csv"
SCREEN_BEGIN, SCREEN_END = "The demo begins.\n", "The environment is .venv."  # what the Makefile prints around the demo

PACKAGE_SIZE = re.compile(r"^ *(?:Downloading|Using cached) \S+\.(?:whl|tar\.gz) \(([\d.]+) ([kMG]?B)\)", re.MULTILINE)
LOCAL_PACKAGE = re.compile(r"^(?:Looking in links: .*\n)?Processing (/\S+\.(?:whl|tar\.gz))", re.MULTILINE)
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def main() -> None:
    """Makes the figures that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*MAKERS, []], help="all, without any")
    parser.add_argument("--folder", type=Path, help="of the demo; a temporary one as usual")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.names or MAKERS:
            MAKERS[name]((arguments.folder or Path(temporary) / name).resolve())


def demo(folder: Path) -> None:
    """Installs and runs the demo in `folder` and fills README.md and docs/demo.md."""
    copy_tree(folder)
    log = folder / "install.log"
    output, install_time = timed(["make", ".venv/demo.installed", f"PYTHON={sys.executable}"], folder)
    if not log.exists():
        log.write_text(f"{output}\n{install_time:.0f} s\n", encoding="utf-8")
    installation = log.read_text(encoding="utf-8")
    install_time = float(re.search(r"(\d+) s\n\Z", installation)[1])
    output, demo_time = timed(["make", "--silent", "demo"], folder)
    screen = output.partition(SCREEN_BEGIN)[2].partition(SCREEN_END)[0].replace(str(folder), "…")
    download = package_bytes(installation) / 1e9
    disk = int(subprocess.check_output(["du", "-sk", folder / ".venv"], text=True).split()[0]) * 1024 / 1e9
    lines = [
        (
            "make demo",
            f"{download:.1f} GB to download, {disk:.1f} GB on disk, {(install_time + demo_time) / 60:.0f} minutes",
        ),
        (". .venv/bin/activate", "the environment that it makes"),
        (FOLLOWING, "what the model says of each record"),
    ]
    block = "\n".join(f"{command:22}  # {comment}" for command, comment in lines)
    fill(README, "start", block, "sh")
    fill(README, "machine", f"Measured on {machine()}.", None)
    excerpt = screen[EXCERPT.search(screen).start() :].splitlines()[:8]
    fill(README, "demo", "\n".join(excerpt))
    fill(DOCS / "demo.md", "demo", screen)
    fill(DOCS / "demo.md", "times", times(install_time, demo_time, download, disk), None)
    picture(folder / "runs" / "demo" / "report.html")


def copy_tree(folder: Path) -> None:
    """Copies what git knows of this tree, as it is on the disk, into `folder`."""
    tracked = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in tracked.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def timed(command: list[str], folder: Path) -> tuple[str, float]:
    """What the command prints in `folder`, and the seconds that it takes."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    start = time.perf_counter()
    output = subprocess.run(
        command, cwd=folder, env=environment | {"COLUMNS": COLUMNS}, check=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ).stdout  # fmt: skip
    return output, time.perf_counter() - start


def package_bytes(log: str) -> float:
    """The size of all packages that pip fetched, from a network, its cache or a disk."""
    fetched = sum(float(size) * UNITS[unit] for size, unit in PACKAGE_SIZE.findall(log))
    return fetched + sum(Path(path).stat().st_size for path in LOCAL_PACKAGE.findall(log))


def machine() -> str:
    """The machine: its processor, cores, memory, graphics card, whether other work keeps it busy."""
    import torch

    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    load = os.getloadavg()[2]  # of a quarter of an hour
    shared = f", shared with other work (load {load:.0f})" if load > 1.5 * os.cpu_count() else ""
    return (
        f"{processor[1] if processor else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB, {card}{shared}"
    )


def times(install_time: float, demo_time: float, download: float, disk: float) -> str:
    """The demo's size and times in a sentence."""
    return (
        f"On {machine()}: {download:.1f} GB of packages, {disk:.1f} GB on disk, installed in {install_time:.0f} s; the "
        f"demo itself took {demo_time:.0f} s."
    )


def picture(report: Path) -> None:
    """The top of a report as a browser of 1,280 pixels shows it, at most 200 kB."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(report.as_uri())
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE)
        browser.close()
    with Image.open(PICTURE) as image:
        image.convert("RGB").quantize(128).save(PICTURE, optimize=True)


def reviews(folder: Path) -> None:
    """Runs the first blocks of Python of three pages in `folder` and fills in what they print."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    example.make(Path())
    columns = printed(lambda: sensorium.read("reviews.csv", target="sentiment", group="author"))
    _, orders = run_block(DOCS / "tables.md")
    _, frame = run_block(README)
    names, report = run_block(TABLE_PAGE)
    table = re.search(
        r"^[^\n]*what each input is worth.*?(?=\n\n)",
        str(sensorium.evaluate(names["run"].model, names["test"])),
        re.DOTALL | re.MULTILINE,
    )
    os.chdir(ROOT)
    fill(README, "frame", frame)
    fill(TABLE_PAGE, "columns", columns)
    fill(TABLE_PAGE, "python", report)
    fill(DOCS / "tables.md", "orders", orders)
    fill(DOCS / "metrics.md", "inputs", table[0])


def recipes(folder: Path) -> None:
    """Fills in the tables of docs/recipes.md; `folder` is not needed."""
    settings.PAGE.write_text(settings.filled(settings.PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def run_block(page: Path) -> tuple[dict, str]:
    """The names that the first block of Python on `page` defines, and what it prints."""
    code = next(piece.text for piece in pieces(page) if piece.language == "python")
    names: dict = {}
    return names, printed(lambda: exec(compile(code, page.name, "exec"), names))


def printed(function: Callable[[], object]) -> str:
    """What a function writes to standard output."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        function()
    return output.getvalue()


def fill(page: Path, name: str, text: str, language: str | None = "text") -> None:
    """Puts `text`, in a block of `language` if there is one, between `<!-- name -->` and `<!-- /name -->`."""
    before, rest = page.read_text(encoding="utf-8").split(f"<!-- {name} -->")
    _, after = rest.split(f"<!-- /{name} -->")
    lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    block = f"```{language}\n{lines}\n```" if language else lines
    page.write_text(f"{before}<!-- {name} -->\n{block}\n<!-- /{name} -->{after}", encoding="utf-8")


MAKERS = {"demo": demo, "example": reviews, "settings": recipes}

if __name__ == "__main__":
    main()
