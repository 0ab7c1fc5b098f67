"""Endings of files, by the kind of the column that they belong to."""

from sensorium.data.columns.infer import ARRAYS, ENDINGS

FILE_ENDINGS = ENDINGS | {"film": ENDINGS["video"], "series": ARRAYS, "points": ARRAYS}
# The endings of files that were bytes without a name; decoders read the bytes, whatever the ending is.
DEFAULT_ENDING = {"image": "jpg", "audio": "wav", "video": "mp4", "film": "mp4", "series": "npy", "points": "npy"}
