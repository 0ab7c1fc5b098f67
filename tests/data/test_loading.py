"""Batches: what is dealt to whom, chance by record, absence, cached inputs, and processes that fail or are killed."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
import torch

from sensorium.data.loading import Records, deal, draw, load
from sensorium.data.scan import scan
from sensorium.data.table import Table, read
from sensorium.errors import RecordError, UserError
from sensorium.features import Features

COUNT = 40


class Lengths:
    """A processor for tests: an image's or a text's values as tokens [L], shuffled by noise when augmented."""

    def __init__(self):
        self.decoding = {}

    def __call__(self, value, augment=False):
        values = (
            torch.tensor([float(ord(c)) for c in value])
            if isinstance(value, str)
            else torch.tensor(value[0, :, 0]).float()
        )
        return {"values": values + torch.rand(len(values)) if augment else values}

    def pad(self, items):
        length = max((len(item["values"]) for item in items if item), default=1)
        values, mask = torch.zeros(len(items), length), torch.zeros(len(items), length, dtype=torch.bool)
        for row, item in enumerate(items):
            if item:
                values[row, : len(item["values"])], mask[row, : len(item["values"])] = item["values"], True
        return {"values": values, "mask": mask}


class Store:
    """A store for tests: features of N rows in memory; row 3 lacks the input."""

    def __init__(self, count=COUNT, length=2, width=5):
        self.tokens = torch.arange(count * length * width).float().reshape(count, length, width)  # [N, T, D]
        self.mask = torch.ones(count, length, dtype=torch.bool)
        self.mask[3] = False

    def read(self, rows):
        return Features(self.tokens[rows], self.mask[rows], self.tokens[rows].mean(dim=1))


def frame():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (2, 3 + i % 4, 3), dtype=np.uint8) for i in range(COUNT)]
    return pd.DataFrame(
        {
            "photo": pd.Series([None if i % 7 == 0 else picture for i, picture in enumerate(pictures)], dtype=object),
            "words": pd.Series([None if i % 5 == 0 else "abcdefgh"[: 1 + i % 8] for i in range(COUNT)], dtype=object),
            "again": pd.Series(["abcdefgh"] * COUNT, dtype=object),
            "kind": pd.Series([None if i == 4 else "xyz"[i % 3] for i in range(COUNT)], dtype=object),
            "price": [float(i) for i in range(COUNT)],
            "name": [f"record {i}" for i in range(COUNT)],
        }
    )


def table(**options) -> Table:
    columns = {"photo": "image", "words": "text", "again": "text"}
    return read(
        frame(), target={"kind": "class", "price": "number"}, key="name", columns=columns, quiet=True, **options
    )


def records(**options) -> Records:
    return Records(table(), {name: Lengths() for name in ("photo", "words", "again")}, **options)


def items(epoch=0, size=7):
    return [(rows, epoch) for step in deal(COUNT, size, seed=1, epoch=epoch or 0) for rows in step]


def flat(batch):
    """Every tensor of a batch, by a path of names."""
    tensors = {f"{name}/{key}": tensor for name, value in batch.inputs.items() for key, tensor in value.items()}
    tensors |= {f"{name}/{key}": tensor for name, value in batch.targets.items() for key, tensor in value.items()}
    return tensors | {f"ids/{name}": tensor for name, tensor in batch.ids.items()}


def same(one, two):
    assert one.keys == two.keys and flat(one).keys() == flat(two).keys()
    return all(torch.equal(tensor, flat(two)[name]) for name, tensor in flat(one).items())


def gone(processes, seconds=5.0):
    """True once none of `processes` (ids) is alive."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(alive(process) for process in processes):
            return True
        time.sleep(0.02)
    return False


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# What is dealt


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("pieces", [1, 2, 4])
def test_every_row_is_dealt_once_and_steps_do_not_depend_on_the_processes(world, pieces):
    whole = deal(23, 8, seed=5, epoch=2)
    assert [len(step[0]) for step in whole] == [8, 8, 7]
    assert sorted(np.concatenate([step[0] for step in whole]).tolist()) == list(range(23))
    dealt = [deal(23, 8, seed=5, epoch=2, rank=rank, world=world, pieces=pieces) for rank in range(world)]
    for step in range(3):
        assert all(len(one[step]) == pieces for one in dealt)
        assert all(piece.dtype == np.int64 for one in dealt for piece in one[step])
        together = np.concatenate([piece for one in dealt for piece in one[step]])
        assert sorted(together.tolist()) == sorted(whole[step][0].tolist())
        sizes = [sum(map(len, one[step])) for one in dealt]
        assert max(sizes) - min(sizes) <= 1


def test_a_small_last_step_leaves_pieces_empty_but_there():
    last = [deal(9, 8, seed=0, epoch=0, rank=rank, world=2, pieces=2)[-1] for rank in range(2)]
    assert [[len(piece) for piece in pieces] for pieces in last] == [[1, 0], [0, 0]]


def test_the_permutation_is_a_function_of_seed_and_epoch():
    def rows(seed, epoch):
        return np.concatenate([step[0] for step in deal(50, 8, seed, epoch)]).tolist()

    assert rows(0, 1) == rows(0, 1)
    assert len({tuple(rows(*use)) for use in [(0, 0), (0, 1), (1, 0), (1, 1)]}) == 4


def test_a_given_order_is_dealt_as_it_stands():
    order = np.array([3, 3, 1, 0, 7])
    assert [step[0].tolist() for step in deal(10, 2, 0, 0, order=order)] == [[3, 3], [1, 0], [7]]


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

    def read(self, rows):
        return Features(None, None, None)


def test_a_cached_epoch_costs_microseconds_a_row():
    count = 20_000
    frame = pd.DataFrame({"words": ["a b c"] * count, "kind": ["x", "y"] * (count // 2)})
    many = read(frame, target="kind", columns={"words": "text"}, quiet=True)
    made = Records(many, {}, ids={"words": np.ones(count, np.int64)}, stores={"words": Nothing()})
    order = [(rows, 0) for step in deal(count, 64, 0, 0) for rows in step]
    best = min(seconds(lambda: [None for _ in load(made, order, 0)]) for _ in range(10))
    assert best / count < 5e-6


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


# Failure


@pytest.mark.parametrize("workers", [0, 2])
def test_a_value_that_cannot_be_decoded_is_named_by_row_and_column(workers, tmp_path):
    broken = frame()
    broken.at[12, "photo"] = "none.png"
    columns = {"photo": "image", "words": "text", "again": "text"}
    part = read(broken, target="kind", columns=columns, quiet=True, root=tmp_path).take(np.arange(10, 20))
    made = Records(part, {name: Lengths() for name in columns})
    with pytest.raises(RecordError) as caught:
        list(load(made, [(np.arange(0, 2), 0), (np.arange(2, 4), 0), (np.arange(4, 6), 0)], workers))
    error = caught.value
    assert (error.row, error.column, error.value, error.reason) == (13, "photo", "none.png", "there is no such file")
    assert str(error).startswith("Row 13, column 'photo', none.png: there is no such file;") and "\n" not in str(error)
    assert error.__cause__ is None or workers == 0
    assert gone(child.pid for child in multiprocessing.active_children())


class Buggy(Lengths):
    def pad(self, items):
        raise KeyError("a bug")


def test_a_bug_in_a_worker_is_raised_as_it_was():
    made = Records(table(), {"words": Buggy()})
    with pytest.raises(KeyError, match="a bug") as caught:
        list(load(made, items(0), 2))
    assert "in pad" in str(caught.value.__cause__)


def workers_of(stream):
    """The first batch of `stream`, and the ids of the processes that then work for it."""
    batch = next(stream)
    return batch, [child.pid for child in multiprocessing.active_children()]


def test_workers_end_with_the_iterator():
    made = records()
    for _ in range(3):
        stream = load(made, items(0) * 50, 2)
        _, children = workers_of(stream)
        assert len(children) == 2
        stream.close()
        assert gone(children)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        list(load(made, items(0), 2))
    assert len(os.listdir("/proc/self/fd")) <= before and not multiprocessing.active_children()


def test_few_items_are_taken_ahead():
    taken = []
    stream = load(records(), (taken.append(1) or item for item in items(0) * 100), 2)
    next(stream)
    time.sleep(0.2)
    assert len(taken) <= 4
    stream.close()


class Slow(Lengths):
    def pad(self, items):
        time.sleep(0.01)
        return super().pad(items)


@pytest.mark.parametrize("attempt", range(5))
def test_a_killed_worker_is_an_error_and_no_hang(attempt):
    stream = load(Records(table(), {"words": Slow()}), items(0) * 10_000, 2)
    _, children = workers_of(stream)
    time.sleep(0.01 * attempt)
    os.kill(children[attempt % 2], signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(UserError, match="was killed"):
        for _ in stream:
            assert time.monotonic() - start < 10
    assert gone(children)


SCRIPT = """
    import multiprocessing, sys
    sys.path.insert(0, {folder!r})
    from test_loading import items, load, records
    stream = load(records(), items(0) * 100_000, 2)
    next(stream)
    try:
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        for _ in stream:
            pass
    except KeyboardInterrupt:
        stream.close()
        print("interrupted", flush=True)
"""


@pytest.fixture
def running():
    """A process group whose leader loads with two workers without end; the ids of the workers."""
    script = textwrap.dedent(SCRIPT.format(folder=os.path.dirname(__file__)))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children = [int(word) for word in process.stdout.readline().split()]
    assert len(children) == 2, process.stderr.read()
    yield process, children
    process.kill()
    process.communicate()


def test_ctrl_c_reaches_the_parent_alone(running):
    process, children = running
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert err == "" and out == "interrupted\n" and process.returncode == 0
    assert gone(children)


def test_workers_end_when_their_parent_is_killed(running):
    process, children = running
    process.kill()
    assert gone(children)


def test_records_pickle():
    made = records(stores={"photo": Store()}, seed=3)
    copy = pickle.loads(pickle.dumps(made))
    rows = np.array([1, 2, 3])
    assert torch.equal(copy.batch(rows, 1).inputs["again"]["values"], made.batch(rows, 1).inputs["again"]["values"])


def test_threads_that_torch_has_used_do_not_hang_the_workers():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.randn(400, 400) @ torch.randn(400, 400)
    torch.randn(1_000_000).sort()
    try:
        assert len(list(load(records(), items(0), 2))) == 6
    finally:
        torch.set_num_threads(threads)
