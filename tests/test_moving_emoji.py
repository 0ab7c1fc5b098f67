"""Real films of moving emoji: a single frame says nothing of the motion, the film says all of it."""

import numpy as np
import pytest
from benchmarks.moving_emoji import FRAMES, REVERSE, changed, draw, fit, make, pictures, tell, write

from sensorium.data.media import video


def test_the_middle_of_a_film_is_the_same_whatever_the_motion(shared):
    picture = pictures(shared / "data" / "emoji")["snail"][0]
    films = {motion: draw(picture, motion, np.random.default_rng(0)) for motion in REVERSE}
    assert all(film.shape == (FRAMES, 64, 64, 3) for film in films.values())
    for motion, film in films.items():
        np.testing.assert_array_equal(film[FRAMES // 2], films["left"][FRAMES // 2])
        np.testing.assert_array_equal(film[::-1], films[REVERSE[motion]])
    assert len({film.tobytes() for film in films.values()}) == len(REVERSE)


def test_a_single_frame_is_the_middle_one(shared, tmp_path):
    film = draw(pictures(shared / "data" / "emoji")["rocket"][0], "grow", np.random.default_rng(0))
    write(tmp_path / "a.mp4", film)
    shown = video.decode("a.mp4", tmp_path, rate=1.0, frames=1)
    assert np.abs(shown.frames[0].astype(int) - film[FRAMES // 2]).mean() < 2
    assert shown.seconds.tolist() == [0.5]


@pytest.mark.slow
def test_name_and_motion_of_unseen_films(shared, tmp_path):
    table = make(shared / "data" / "emoji", tmp_path, 1200, 300)
    test = table[table["part"] == "test"].reset_index(drop=True)
    model = fit(tmp_path, 12, frames=6)
    right = tell("in order", model, changed(tmp_path, table, "in order"), test)
    assert right["motion"] > 0.9 and right["name"] > 0.75
    shuffled = tell("shuffled", model, changed(tmp_path, table, "shuffled"), test)
    assert shuffled["motion"] < 0.5 and shuffled["name"] > 0.7
    reverse = test.assign(motion=test["motion"].map(REVERSE))
    assert tell("reversed", model, changed(tmp_path, table, "reversed"), reverse)["motion"] > 0.9
    single = tell("one frame", fit(tmp_path, 12, frames=1), changed(tmp_path, table, "in order"), test)
    assert single["motion"] < 0.25 and single["name"] > 0.75
