"""Batches: what is dealt to whom, chance by record, absence, cached inputs."""

import multiprocessing
import pickle
import time
import wave

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sensorium.data.read import read
from sensorium.data.records import Records, draw, epoch_batches, load
from sensorium.data.scan import scan
from sensorium.data.table import Table
from sensorium.encoders.audio_processor import AudioProcessor, AudioSettings
from sensorium.encoders.image_processor import ImageProcessor, ImageSettings
from sensorium.features import Features
from tests.data.made_records import Lengths, Store, frame, items, records, same, table

# What is dealt


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("pieces", [1, 2, 4])
def test_every_row_is_dealt_once_and_steps_do_not_depend_on_the_processes(world, pieces):
    whole = epoch_batches(23, 8, seed=5, epoch=2)
    assert [len(step[0]) for step in whole] == [8, 8, 7]
    assert sorted(np.concatenate([step[0] for step in whole]).tolist()) == list(range(23))
    dealt = [epoch_batches(23, 8, seed=5, epoch=2, rank=rank, world=world, pieces=pieces) for rank in range(world)]
    for step in range(3):
        assert all(len(one[step]) == pieces for one in dealt)
        assert all(piece.dtype == np.int64 for one in dealt for piece in one[step])
        together = np.concatenate([piece for one in dealt for piece in one[step]])
        assert sorted(together.tolist()) == sorted(whole[step][0].tolist())
        sizes = [sum(map(len, one[step])) for one in dealt]
        assert max(sizes) - min(sizes) <= 1


def test_a_small_last_step_leaves_pieces_empty_but_there():
    last = [epoch_batches(9, 8, seed=0, epoch=0, rank=rank, world=2, pieces=2)[-1] for rank in range(2)]
    assert [[len(piece) for piece in pieces] for pieces in last] == [[1, 0], [0, 0]]


def test_the_permutation_is_a_function_of_seed_and_epoch():
    def rows(seed, epoch):
        return np.concatenate([step[0] for step in epoch_batches(50, 8, seed, epoch)]).tolist()

    assert rows(0, 1) == rows(0, 1)
    assert len({tuple(rows(*use)) for use in [(0, 0), (0, 1), (1, 0), (1, 1)]}) == 4


def test_a_given_order_is_dealt_as_it_stands():
    order = np.array([3, 3, 1, 0, 7])
    assert [step[0].tolist() for step in epoch_batches(10, 2, 0, 0, order=order)] == [[3, 3], [1, 0], [7]]


# What a batch holds


def test_a_batch_holds_the_records_it_names():
    made = records(ids=scan(table()).ids)
    batch = made.batch(np.array([8, 5, 0]))
    assert batch.keys == ["record 8", "record 5", "record 0"]
    assert batch.inputs["words"]["values"].tolist() == [[97.0], [0.0], [0.0]]
    assert {name: batch.present(name).tolist() for name in batch.inputs} == {
        "photo": [True, True, False],
        "words": [True, False, False],
        "again": [True, True, True],
    }
    assert batch.targets["kind"]["label"].tolist() == [2, 2, 0] and batch.targets["kind"]["mask"].all()
    assert batch.targets["price"]["value"].tolist() == [8.0, 5.0, 0.0]
    assert batch.ids["words"].dtype == torch.int64 and (batch.ids["words"] != 0).tolist() == [True, False, False]
    assert batch.ids["again"].unique().numel() == 1
    assert made.batch(np.array([4])).targets["kind"] == {"mask": torch.tensor([False]), "label": torch.tensor([0])}


def test_no_rows_make_one_row_that_lacks_everything():
    batch = records(ids=scan(table()).ids, stores={"photo": Store()}).batch(np.array([], dtype=np.int64), epoch=0)
    assert batch.keys == [""]
    assert not any(batch.present(name).any() for name in batch.inputs)
    assert isinstance(batch.inputs["photo"], Features) and batch.inputs["photo"].tokens.shape == (1, 2, 5)
    assert batch.targets["kind"]["mask"].tolist() == [False] and batch.targets["kind"]["label"].tolist() == [0]
    assert batch.targets["price"]["mask"].tolist() == [False] and batch.targets["price"]["value"].tolist() == [0.0]
    assert all(ids.tolist() == [0] for ids in batch.ids.values()) and len(batch.ids) == 3


def test_a_target_that_the_table_lacks_is_not_in_the_batch():
    bare = read(frame().drop(columns="kind"), schema=table().schema)
    batch = Records(bare, {"words": Lengths()}).batch(np.arange(3))
    assert set(batch.targets) == {"price"} and set(batch.inputs) == {"words"} and batch.ids == {}


# Chance


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_make_the_same_batches_as_none(workers):
    made, orders = records(seed=3, ids=scan(table()).ids), [*items(0), *items(1), *items(None)]
    alone = list(load(made, orders, 0))
    shared = list(load(made, orders, workers))
    assert len(alone) == len(shared) == len(orders)
    assert all(same(one, two) for one, two in zip(alone, shared, strict=True))


class Wide(Lengths):
    """Gives more than is sent as an array."""

    def pad(self, items):
        return {"large": torch.rand(3, 200_000)} | super().pad(items)


def test_large_tensors_come_from_workers_too():
    made = Records(table(), {"words": Wide()}, seed=3)
    pairs = zip(load(made, items(0), 0), load(made, items(0), 2), strict=True)
    assert all(same(one, two) for one, two in pairs)


def test_a_records_chance_does_not_depend_on_its_neighbours_and_differs_by_use():
    made = records(seed=3)

    def noise(rows, epoch, name="again", made=made):
        batch, plain = made.batch(np.array(rows), epoch), made.batch(np.array(rows))
        return (batch.inputs[name]["values"] - plain.inputs[name]["values"])[0]

    first = noise([9], 2)
    assert first.abs().sum() > 0 and torch.equal(first, noise([9, 3, 8, 1], 2))
    others = [noise([9], 3), noise([8], 2), noise([9], 2, made=records(seed=4))]
    renamed = frame().rename(columns={"again": "then"})
    then = read(
        renamed, target="kind", key="name", columns={"then": "text", "photo": "image", "words": "text"}, quiet=True
    )
    others.append(noise([9], 2, "then", Records(then, {"then": Lengths()}, seed=3)))
    assert not any(torch.equal(first, other) for other in others)
    moved = Records(table().take(np.array([30, 9])), {"again": Lengths()}, seed=3)
    assert torch.equal(first, noise([1], 2, made=moved))
    assert noise([9], None).abs().sum() == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_the_generators_of_this_process_stay_as_they_were(workers):
    torch.manual_seed(11)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    for _ in load(records(), items(0), workers):
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before) and (np.random.get_state()[1] == numbers).all()


def test_seeds_tell_uses_apart():
    uses = [
        (0, 1, "a", "b"),
        (0, 1, "ab", ""),
        (0, 1, "a/b", ""),
        (0, 11, "", "b"),
        (1, 1, "a", "b"),
        (0, 1, 'a", "b', ""),
    ]
    seeds = {draw(*use) for use in uses}
    assert len(seeds) == len(uses) and all(0 <= seed < 2**63 for seed in seeds)


@pytest.fixture
def media(tmp_path):
    """Twelve records of pictures and sounds in files, with the processors of the encoders."""
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8)).save(tmp_path / f"{i}.jpg")
        with wave.open(str(tmp_path / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(rng.integers(-9000, 9000, 3000 + 500 * i, dtype=np.int16).tobytes())
    rows = [{"photo": f"{i}.jpg" if i % 5 else None, "voice": f"{i}.wav", "kind": "xy"[i % 2]} for i in range(12)]
    read_in = read(rows, target="kind", columns={"photo": "image", "voice": "audio"}, quiet=True, root=tmp_path)
    photo, voice = ImageProcessor(ImageSettings(size=32)), AudioProcessor(AudioSettings(rate=16000, seconds=1))
    return Records(read_in, {"photo": photo, "voice": voice}, seed=1)


def test_real_processors_augment_alike_in_workers_and_alone(media):
    orders = [(np.arange(start, start + 4), epoch) for epoch in (0, 1) for start in (0, 4, 8)]
    threads = torch.get_num_threads()
    torch.set_num_threads(3)  # which changes the last bits of sums, and must not here
    alone, shared = list(load(media, orders, 0)), list(load(media, orders, 2))
    assert torch.get_num_threads() == 3
    torch.set_num_threads(threads)
    assert all(same(one, two) for one, two in zip(alone, shared, strict=True))
    photos = [batch.inputs["photo"]["pixels"] for batch in (alone[0], alone[3], media.batch(np.arange(4)))]
    assert not torch.equal(photos[0][1], photos[1][1]) and not torch.equal(photos[0][1], photos[2][1])
    assert torch.equal(photos[0][2], media.batch(np.array([2]), 0).inputs["photo"]["pixels"][0])


# Cached inputs


def test_cached_inputs_come_from_their_stores_without_a_process_or_a_decoded_value(monkeypatch):
    stores = {name: Store() for name in ("photo", "words", "again")}
    made = records(stores=stores)
    assert not made.decodes
    monkeypatch.setattr(Table, "value", lambda *_: pytest.fail("a value was read"))
    stream = load(made, items(0), 4)
    batch = next(stream)
    assert not multiprocessing.active_children()
    rows = items(0)[0][0]
    assert torch.equal(batch.inputs["photo"].tokens, stores["photo"].tokens[rows])
    assert batch.keys == [f"record {row}" for row in rows] and len(list(stream)) == 5


def test_a_store_beside_a_decoded_input():
    batch = records(stores={"photo": Store()}).batch(np.array([2, 3]), epoch=1)
    assert isinstance(batch.inputs["photo"], Features) and batch.present("photo").tolist() == [True, False]
    assert batch.present("words").tolist() == [True, True]


class Nothing:
    """A store for tests that costs nothing, so that the loader's own time is seen."""

    views = 1

    def read(self, rows, views=None):
        return Features(None, None, None)


def test_a_cached_epoch_costs_microseconds_a_row():
    count = 20_000
    frame = pd.DataFrame({"words": ["a b c"] * count, "kind": ["x", "y"] * (count // 2)})
    many = read(frame, target="kind", columns={"words": "text"}, quiet=True)
    made = Records(many, {}, ids={"words": np.ones(count, np.int64)}, stores={"words": Nothing()})
    order = [(rows, 0) for step in epoch_batches(count, 64, 0, 0) for rows in step]
    best = min(seconds(lambda: [None for _ in load(made, order, 0)]) for _ in range(10))
    assert best / count < 5e-6


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_records_pickle():
    made = records(stores={"photo": Store()}, seed=3)
    copy = pickle.loads(pickle.dumps(made))
    rows = np.array([1, 2, 3])
    assert torch.equal(copy.batch(rows, 1).inputs["again"]["values"], made.batch(rows, 1).inputs["again"]["values"])
