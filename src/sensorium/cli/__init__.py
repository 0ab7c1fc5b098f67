"""The command line, whatever surrounds it: signals, warnings, standard output, exit codes. The verbs are in `app`."""

import errno
import os
import signal
import sys
import threading
import warnings
from contextlib import suppress
from types import FrameType
from typing import Any

from sensorium.errors import UserError, printable

STOPPED = 130  # the exit code after Ctrl-C and SIGTERM
_OUT_OF_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "CUDA out of memory")
_OF_THE_DISK = {
    errno.EACCES, errno.EDQUOT, errno.EIO, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG, errno.ENOSPC, errno.ENOTDIR,
    errno.EPERM, errno.EROFS, errno.ESTALE,
}  # fmt: skip


def main() -> None:
    """Runs a verb.

    Exit codes: 0, 2 for a mistake of the user's (one sentence), 130 after Ctrl-C or SIGTERM, 1 with a traceback for a
    bug.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    for number in (signal.SIGINT, signal.SIGTERM) if in_main_thread else ():
        signal.signal(number, _stop)
    # A stream that the caller closed would leave its number to the next file that is opened.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    with warnings.catch_warnings():
        # A library's warnings say nothing that a user could mend; ours are shown, even under `python -W error`.
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", category=UserWarning, module="sensorium")
        warnings.showwarning = _warn
        code = _run()
    if in_main_thread:  # nothing is left to save
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _run() -> int:
    """Runs a verb and gives the exit code. Raises only what is a bug."""
    import typer

    from sensorium.console import Output

    stdout = sys.stdout
    try:
        sys.stdout = Output(stdout)
        from sensorium.cli.app import app

        code = app(prog_name="sensorium", standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        return _fail(str(error), 2)
    except typer.Abort as error:
        return _fail(str(error) or "Stopped.", STOPPED)
    except KeyboardInterrupt:
        return _fail("Stopped.", STOPPED)
    except Exception as error:
        return _usage(error)
    finally:
        sys.stdout = stdout
        _discard_unwritable(stdout)
    return _fail("Stopped.", STOPPED) if code == STOPPED else code or 0  # Typer takes Ctrl-C in silence


def _stop(number: int, frame: FrameType | None) -> None:
    """Interrupts the verb; while packages are imported it leaves at once, since half of a package cannot go on, and
    libraries make errors of their own of an interruption.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _fail("Stopped.", STOPPED)
            os._exit(STOPPED)
        frame = frame.f_back
    raise KeyboardInterrupt


def _discard_unwritable(stdout: Any) -> None:
    """Points standard output at nothing if what is left in it cannot be written, as Python tries again at its end."""
    try:
        stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


def _usage(error: Exception) -> int:
    """What the command line's own parser, the memory or a disk objects to; anything else is a bug and goes up."""
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY):
        return _fail("There is not enough memory for this; use smaller batches, fewer workers or a smaller model.", 2)
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK and error.filename is not None:
        return _fail(f"{error.filename} cannot be used: {error.strerror}; mend that or choose another place.", 2)
    if hasattr(error, "format_message"):  # the parser's exceptions, which Typer has moved from one package to another
        sentence = error.format_message()
        verb = error.ctx.command_path if getattr(error, "ctx", None) else "sensorium"
        return _fail(f"{sentence}{'' if sentence[-1] in '.?' else '.'} See '{verb} --help'.", 2)
    raise error


def _warn(message: Warning | str, *where: Any) -> None:
    """A warning as a sentence on standard error, without the place in the code that it comes from."""
    _fail(str(message), 0)


def _fail(sentence: str, code: int) -> int:
    with suppress(OSError, ValueError):  # standard error may be closed or full
        print(f"sensorium: {printable(sentence)}", file=sys.stderr, flush=True)
    return code
