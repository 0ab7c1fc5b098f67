"""Files that are whole or absent: each is written beside its place under a temporary name, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensorium.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the disk refuses while writing `path` into a sentence. Raises UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}; make room or choose another place.") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path in the folder of `path`; when the block ends well, it takes the place of `path`.

    Raises UserError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            os.close(handle)
            temporary = Path(name)
            temporary.chmod(0o644)
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `path`; when the block ends well, it takes the place of `path`, old content and all.

    A kill between the two renames leaves the old folder under `.NAME.old`, which `recover` puts back.
    Raises UserError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            recover(path)
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            temporary.chmod(0o755)
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            if path.exists():
                os.replace(path, _old(path))
            os.replace(temporary, path)
            shutil.rmtree(_old(path), ignore_errors=True)
    except BaseException:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        raise


def recover(path: Path) -> None:
    """Puts the folder `path` back if a kill caught `whole_folder` between its two renames."""
    path = Path(path)
    if _old(path).exists():
        if path.exists():
            shutil.rmtree(_old(path))
        else:
            os.replace(_old(path), path)


def _old(path: Path) -> Path:
    return path.parent / f".{path.name}.old"


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
