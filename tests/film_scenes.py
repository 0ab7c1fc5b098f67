"""Mistakes with films: what has to be so before each of those under "Films" in docs/mistakes.md."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.data.media.films import film, gray
from tests.reviews import put, write

NOISE = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)


def films(change: Callable[[], Any] = lambda: None, second: str = "films/2.mkv") -> Callable[[Any], None]:
    """films.csv (clip, motion; 12 records) and its films, then a change; `second` is the clip of the second record."""

    def make(scene: Any) -> None:
        for index in range(1, 13):
            put(f"films/{index}.mkv", film(np.roll(NOISE, index, axis=0), kind="matroska"))
        clips = [f"films/{index}.mkv" if index != 2 else second for index in range(1, 13)]
        write("films.csv", [{"clip": clip, "motion": ("up", "down")[row % 2]} for row, clip in enumerate(clips)])
        change()

    return make


def cut() -> None:
    whole = film(NOISE, kind="matroska")
    put("films/2.mkv", whole[: len(whole) // 2])


def sound() -> None:
    put("films/2.mkv", film(NOISE[:0], kind="mp4", sound=np.zeros(8000)))


def long() -> None:
    put("films/2.mkv", film(gray(3), 1, kind="matroska", ticks=[0, 1, 4000]))


SCENES = {
    "A film is cut short": films(cut),
    "A film has no pictures": films(sound),
    "A film is too long": films(long),
    "A column of films holds something else": films(second="see the box in the hall"),
    "A film is given to an encoder of pictures": films(),
    "A film's image encoder has an unknown setting": films(),
}
