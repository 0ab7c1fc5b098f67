"""Files and folders that are written completely or not at all: under a temporary name beside the final one, then
renamed.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from sensorium.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks, so there nothing tells the files of a writer at work from others
    fcntl = None

_SUFFIX = ".tmp"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the disk while `path` is written into a sentence. Raises UserError."""
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error.strerror or str(error)) from error
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise _cannot_write(path, os.strerror(int(number[1]))) from error


def writable(path: str | Path) -> Path:
    """`path`, which can be the name of a file or folder. Raises UserError for a name that no disk takes."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:
        raise _cannot_write(Path(path), getattr(error, "strerror", None) or str(error)) from error
    return Path(path)


def _cannot_write(path: Path, reason: str) -> UserError:
    return UserError(f"Cannot write {path}: {reason}; make room or choose another place.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path in the folder of `path`; when the block ends without an error, the file is renamed to
    `path`.

    Temporary files of a killed writer of `path` are removed. Of two that write it at once the later one's stays.
    Raises UserError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_temporaries(path)
            handle, name = tempfile.mkstemp(_SUFFIX, _prefix(path), path.parent)
            os.close(handle)
            temporary = Path(name)
            temporary.chmod(0o644)
            with _held(temporary):
                yield temporary
            _sync(temporary)
            os.replace(temporary, path)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder beside `path`; when the block ends without an error, it replaces `path` and its content.

    A kill between the two renames leaves the old folder under `.NAME.old`, which `recover` puts back; other remains of
    a killed writer are removed: one process at a time may write `path`.
    Raises UserError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            recover(path)
            _remove_temporaries(path)
            temporary = Path(tempfile.mkdtemp(_SUFFIX, _prefix(path), path.parent))
            temporary.chmod(0o755)
            yield temporary
            # All content is on the disk before the first rename.
            for file in temporary.rglob("*"):
                if file.is_file():
                    file.chmod(0o644)
                    _sync(file)
            # The old folder moves aside, the new one takes its name, the old one goes.
            if path.exists():
                os.replace(path, _old_folder(path))
            os.replace(temporary, path)
            shutil.rmtree(_old_folder(path), ignore_errors=True)
    except BaseException:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        recover(path)
        raise


def recover(path: Path) -> None:
    """Puts the folder `path` back if `whole_folder` was killed between its two renames."""
    path = Path(path)
    if _old_folder(path).exists():
        if path.exists():
            shutil.rmtree(_old_folder(path))
        else:
            os.replace(_old_folder(path), path)


def discard(path: Path) -> None:
    """Removes the folder `path` and the remains of killed writers of it; a kill leaves it complete or absent."""
    path = Path(path)
    recover(path)
    _remove_temporaries(path)
    if path.exists():
        renamed = Path(tempfile.mkdtemp(_SUFFIX, _prefix(path), path.parent))
        os.replace(path, renamed)
        shutil.rmtree(renamed, ignore_errors=True)


def _prefix(path: Path) -> str:
    return f".{path.name}."


def _remove_temporaries(path: Path) -> None:
    """Removes the temporary files and folders of `path` that a killed writer left, and those of a writer inside it, for
    which the temporary folder was the one to be written."""
    temporary = re.escape(_prefix(path)) + r"[a-z0-9_]{8}" + re.escape(_SUFFIX)
    pattern = re.compile(rf"{temporary}|\.{temporary}\.(old|[a-z0-9_]{{8}}{re.escape(_SUFFIX)})")
    for entry in path.parent.iterdir() if path.parent.exists() else ():
        if pattern.fullmatch(entry.name):
            if entry.is_dir():  # one process at a time writes a folder, so its writer was killed
                shutil.rmtree(entry, ignore_errors=True)
            elif not _is_held(entry):
                entry.unlink(missing_ok=True)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """While entered, `_is_held(path)` is true in every other process."""
    handle = None
    if fcntl is not None:
        handle = os.open(path, os.O_RDONLY)
        with suppress(OSError):  # some network disks have no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _is_held(path: Path) -> bool:
    """Whether a process that still runs writes the temporary file or folder `path`."""
    try:
        handle = None if fcntl is None else os.open(path, os.O_RDONLY)
    except OSError:
        return False
    if handle is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(handle)
    return False


@contextmanager
def lock(folder: Path, occupied: str) -> Iterator[None]:
    """While entered, no other process enters it for the same folder, which is made if need be.

    Raises UserError with the sentence `occupied` where another one has, or when the folder cannot be written.
    """
    path = folder / ".lock"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if fcntl is not None:
            try:
                # By process, so that it ends with a killed one even where its workers still run.
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise UserError(occupied) from None
            except OSError:
                pass  # some network disks have no locks
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _old_folder(path: Path) -> Path:
    return path.parent / f".{path.name}.old"


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
