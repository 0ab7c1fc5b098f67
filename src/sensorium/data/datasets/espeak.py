"""eSpeak NG, a speech synthesiser, through its C functions (speak_lib.h)."""

import ctypes
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from sensorium.errors import UserError

_AudioCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
# Constants and argument types of speak_lib.h; each of these functions except the second returns an int.
_SYNCHRONOUS, _DO_NOT_EXIT, _CHARACTERS, _UTF8, _RATE = 2, 0x8000, 1, 1, 1
_INT, _UNSIGNED, _TEXT, _POINTER = ctypes.c_int, ctypes.c_uint, ctypes.c_char_p, ctypes.c_void_p
_ARGUMENTS = {
    "espeak_Initialize": [_INT, _INT, _TEXT, _INT],
    "espeak_SetSynthCallback": [_AudioCallback],
    "espeak_SetVoiceByName": [_TEXT],
    "espeak_SetParameter": [_INT, _INT, _INT],
    "espeak_Synth": [_TEXT, ctypes.c_size_t, _UNSIGNED, _INT, _UNSIGNED, _UNSIGNED, _POINTER, _POINTER],
}


class Speech:
    """eSpeak NG through its C functions; `open` gives one."""

    def __init__(self, library: ctypes.CDLL, sample_rate: int):
        self.library, self.sample_rate = library, sample_rate
        self.samples = bytearray()
        # An attribute, so that it lives as long as this object: the library has a bare pointer to it.
        self.callback = _AudioCallback(self._append_samples)
        library.espeak_SetSynthCallback(self.callback)

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Speech"]:
        """A voice that starts from the same state each time, and is closed at the end. Raises UserError. eSpeak's
        flutter continues from one utterance, and one session, to the next and cannot be reset: only a copy of the
        library under another name, which has its own variables, gives the same samples twice."""
        import espeakng_loader as loader

        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                library = ctypes.CDLL(shutil.copy(loader.get_library_path(), folder))
            except OSError as error:
                raise UserError(f"eSpeak NG does not load ({error}); reinstall 'espeakng-loader'.") from error
            for name, arguments in _ARGUMENTS.items():
                getattr(library, name).argtypes = arguments
            path = loader.get_data_path()
            sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, path.encode(), _DO_NOT_EXIT)
            if sample_rate <= 0:
                raise UserError(f"eSpeak NG cannot read its data in {path}; reinstall the package 'espeakng-loader'.")
            try:
                yield cls(library, sample_rate)
            finally:
                library.espeak_Terminate()

    def say(self, text: str, voice: str, rate: int) -> bytes:
        """`text` spoken at `rate` words a minute: int16 samples, mono. Raises UserError."""
        self.samples.clear()
        encoded_text = text.encode("utf-8") + b"\0"
        failed = (
            self.library.espeak_SetVoiceByName(voice.encode())
            or self.library.espeak_SetParameter(_RATE, rate, 0)
            or self.library.espeak_Synth(encoded_text, len(encoded_text), 0, _CHARACTERS, 0, _UTF8, None, None)
            or self.library.espeak_Synchronize()
        )
        if failed or not self.samples:
            raise UserError(f"eSpeak NG cannot say '{text}' as '{voice}'; reinstall the package 'espeakng-loader'.")
        return bytes(self.samples)

    def _append_samples(self, samples, count: int, events: int) -> int:
        """Called by the library with each piece of audio; 0 asks it to continue."""
        if samples and count > 0:
            self.samples += ctypes.string_at(samples, count * ctypes.sizeof(ctypes.c_short))
        return 0
