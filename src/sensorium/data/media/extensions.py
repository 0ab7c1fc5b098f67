"""Endings of files, by the kind of the column that they belong to."""

IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif")
AUDIO_ENDINGS = (
    "wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "m4b", "aac", "wma", "aif", "aiff", "au", "caf", "weba",
)  # fmt: skip
VIDEO_ENDINGS = ("mp4", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "m4v")
ENDINGS = {"image": IMAGE_ENDINGS, "audio": AUDIO_ENDINGS, "video": VIDEO_ENDINGS}
ARRAYS = ("npy", "csv", "parquet", "xyz")
FILE_ENDINGS = ENDINGS | {"film": VIDEO_ENDINGS, "series": ARRAYS, "points": ARRAYS}
# The endings of files that were bytes without a name; decoders read the bytes, whatever the ending is.
DEFAULT_ENDING = {"image": "jpg", "audio": "wav", "video": "mp4", "film": "mp4", "series": "npy", "points": "npy"}
