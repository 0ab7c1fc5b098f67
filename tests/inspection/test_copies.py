"""Copies of pictures, sounds and texts are found; things that only look alike are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from sensorium.inspection import near, sounds, texts
from tests.inspection import clinic

APART = 0.35


def compressed(image: Image.Image) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=50)
    return Image.open(io.BytesIO(data.getvalue())).convert("RGB")


CHANGES = {
    "compressed": compressed,
    "smaller": lambda image: image.resize((33, 40)),
    "larger": lambda image: image.resize((200, 200), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "weaker": lambda image: ImageEnhance.Contrast(image).enhance(0.85),
}


def pairs_of(images: list[Image.Image]) -> list[list[int]]:
    hashes, thumbnails = zip(*map(near.fingerprint, images), strict=True)
    return near.near_pairs(np.array(hashes), np.stack(thumbnails), APART).tolist()


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_near_its_original_and_no_other(change):
    chance = np.random.default_rng(0)
    images = [clinic.picture(chance) for _ in range(60)]
    assert pairs_of([*images, *map(CHANGES[change], images)]) == [[one, one + 60] for one in range(60)]


def test_pictures_of_one_colour_with_noise_are_not_alike():
    chance = np.random.default_rng(1)
    reds = [
        np.clip(np.array([220, 30, 30]) + chance.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8) for _ in "ab" * 20
    ]
    assert pairs_of([Image.fromarray(one) for one in reds]) == []


def test_a_shape_in_another_colour_is_not_the_same():
    black, white = np.full((64, 64, 3), 128, np.uint8), np.full((64, 64, 3), 128, np.uint8)
    black[16:48, 16:48], white[16:48, 16:48] = 0, 255
    assert pairs_of([Image.fromarray(black), Image.fromarray(white)]) == []


def test_every_pair_of_near_hashes_is_a_candidate():
    chance = np.random.default_rng(2)
    hashes = chance.integers(0, 2**63, 500, dtype=np.uint64)
    for place in range(250):  # a copy with seven bits turned
        turned = chance.choice(64, 7, replace=False).astype(np.uint64)
        hashes[place + 250] = hashes[place] ^ np.bitwise_or.reduce(np.uint64(1) << turned)
    found = {(min(a, b), max(a, b)) for one, two in near.candidates(hashes) for a, b in zip(one, two, strict=True)}
    assert {(place, place + 250) for place in range(250)} <= found


def test_a_louder_padded_noisy_wave_is_the_same_and_a_tone_of_about_the_same_pitch_is_not():
    chance = np.random.default_rng(3)
    wave = clinic.sound(chance)
    assert sounds.same_wave(wave, np.pad(0.3 * wave, (500, 90)) + chance.normal(0, 0.01, len(wave) + 590))
    time = np.arange(8000) / 8000
    assert not sounds.same_wave(np.sin(2 * np.pi * 700 * time), np.sin(2 * np.pi * 706 * time))


def test_texts_are_near_by_the_letters_they_share():
    fox = "the quick brown fox jumps over the lazy dog"
    written = [fox, fox.replace("the quick", "a quick"), "a wholly other line of words"]
    assert texts.near_pairs(written, 0.6).tolist() == [[0, 1]]
    assert texts.normalise("  The Café -- ISN'T,open! ") == "the café isn t open"


def test_near_texts_are_found_among_many_by_their_overlap():
    chance = np.random.default_rng(4)
    words = ["".join(chance.choice(list("abcdefghij"), 6)) for _ in range(500)]
    written = [" ".join(chance.choice(words, 12)) for _ in range(400)]
    copies = [" ".join([*one.split()[:11], "zzz"]) for one in written[:100]]
    found = {tuple(pair) for pair in texts.near_pairs(written + copies, 0.6).tolist()}
    assert len(found & {(place, place + 400) for place in range(100)}) >= 98
    assert len(found) <= 102
