"""The decoders' former place, for scripts that name it."""

from sensorium.data.media.decoding import decode, measure

__all__ = ["decode", "measure"]
