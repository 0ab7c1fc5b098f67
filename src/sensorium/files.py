"""Files that are whole or absent: each is written beside its place under a temporary name, then renamed."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from sensorium.errors import UserError

_SUFFIX = ".tmp"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the disk refuses while writing `path` into a sentence. Raises UserError."""
    try:
        yield
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise _refused(path, os.strerror(int(number[1]))) from error


def _refused(path: Path, reason: str) -> UserError:
    return UserError(f"Cannot write {path}: {reason}; make room or choose another place.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path in the folder of `path`; when the block ends well, it takes the place of `path`.

    What a killed writer of `path` left is removed: one process at a time may write it.
    Raises UserError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _clean(path)
            handle, name = tempfile.mkstemp(_SUFFIX, _prefix(path), path.parent)
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
    """Gives a temporary folder beside `path`; when the block ends well, it takes the place of `path`, content and all.

    A kill between the two renames leaves the old folder under `.NAME.old`, which `recover` puts back; what else a
    killed writer left is removed: one process at a time may write `path`.
    Raises UserError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            recover(path)
            _clean(path)
            temporary = Path(tempfile.mkdtemp(_SUFFIX, _prefix(path), path.parent))
            temporary.chmod(0o755)
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    file.chmod(0o644)
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


def discard(path: Path) -> None:
    """Removes the folder `path`, and what killed writers of it left; a kill leaves it whole or gone."""
    path = Path(path)
    recover(path)
    _clean(path)
    if path.exists():
        gone = Path(tempfile.mkdtemp(_SUFFIX, _prefix(path), path.parent))
        os.replace(path, gone)
        shutil.rmtree(gone, ignore_errors=True)


def _prefix(path: Path) -> str:
    return f".{path.name}."


def _clean(path: Path) -> None:
    """Removes the temporaries of `path` that a kill left."""
    ours = re.compile(re.escape(_prefix(path)) + r"[a-z0-9_]{8}" + re.escape(_SUFFIX))
    for left in path.parent.iterdir() if path.parent.exists() else ():
        if ours.fullmatch(left.name):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _old(path: Path) -> Path:
    return path.parent / f".{path.name}.old"


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
