"""The head `places`: what it writes is what is read, a row alone is the row in a batch, near bins are learned alike."""

import numpy as np
import pytest
import torch

from sensorium.data.columns.parse import objects
from sensorium.data.targets.boxes import BoxesColumn
from sensorium.data.targets.places import Place, spell_places
from sensorium.features import Features
from sensorium.generation.settings import Generation
from sensorium.heads.places import Places, PlacesConfig, choose_bins, location_waves

LISTS = [
    [Place("frog", (0.1, 0.2, 0.5, 0.6)), Place("tree top", (0.6, 0.1, 0.9, 0.9))],
    [Place("frog", (0.3, 0.3, 0.7, 0.5))],
    [],
    [Place("猫", (0.1, 0.1, 0.2, 0.2, 0.3, 0.1))],
] * 3


@pytest.fixture(scope="module")
def head() -> Places:
    torch.manual_seed(0)
    return Places.build(PlacesConfig(bins=20, decoder={"layers": 1, "heads": 2, "dropout": 0.0}), 32, LISTS)


def test_the_head_knows_the_labels_of_training(head):
    assert head.config.labels == ("frog", "tree top", "猫")


def fused(rows: int = 4) -> Features:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(rows, 5, 32, generator=generator)
    return Features(tokens, torch.ones(rows, 5, dtype=torch.bool), tokens.mean(dim=1))


def decoded(head: Places, texts: list[str]) -> list[dict]:
    tokens = [head.processor(text)[:-1] for text in texts]
    longest = max(map(len, tokens))
    padded = torch.tensor([[row + [head.processor.pad] * (longest - len(row))] for row in tokens])
    logprobs = torch.where(padded == head.processor.pad, 0.0, -0.5)
    return head.decode({"tokens": padded, "logprobs": logprobs, "probability": torch.ones(len(texts), 1)}, [])


def test_tokens_of_places_are_read_back_with_labels_of_any_script(head):
    rows = decoded(head, [spell_places(places, head.bins) for places in LISTS[:4]])
    for row, places in zip(rows, LISTS, strict=False):
        assert sorted(place.label for place in row["decision"]) == sorted(place.label for place in places)
        assert row["malformed"] == 0
        for place in row["decision"]:
            true = next(true for true in places if true.label == place.label)
            assert np.abs(np.subtract(place.points, true.points)).max() <= 0.5 / head.bins + 1e-9
            assert place.score == pytest.approx(np.exp(-0.5)) and place.label_score == pytest.approx(np.exp(-0.5))


def test_malformed_stretches_are_counted_and_an_unseen_label_is_spelled(head):
    (row,) = decoded(head, ["frog<loc_1><loc_2>zebra<loc_3><loc_3><loc_5><loc_9>"])
    assert [place.label for place in row["decision"]] == ["zebra"] and row["malformed"] == 1
    # Without a label, and a quad where training had boxes and polygons alone.
    box = "<loc_1><loc_2><loc_3><loc_4>"
    (row,) = decoded(head, [f"{box}frog{box}<loc_5><loc_7><loc_1><loc_2>zebra{box}"])
    assert [place.label for place in row["decision"]] == ["zebra"] and row["malformed"] == 2


@torch.no_grad()
def test_a_row_alone_writes_what_it_writes_in_a_batch(head):
    head.eval()
    together = head.predict(fused(), Generation(max_tokens=10))
    for row in range(4):
        alone = head.predict(fused().take(torch.tensor([row])), Generation(max_tokens=10))
        length = alone["tokens"].shape[2]
        assert torch.equal(alone["tokens"][0], together["tokens"][row, :, :length])


def test_a_small_head_learns_its_lists():
    torch.manual_seed(0)
    head = Places.build(PlacesConfig(bins=20, blur=0.5, decoder={"layers": 1, "heads": 2, "dropout": 0}), 32, LISTS)
    target = BoxesColumn(objects(LISTS[:4]), head.processor)(np.arange(4))
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        head.loss(fused(), target).mean().backward()
        optimizer.step()
    rows = head.eval().decode(head.predict(fused()), [])
    assert [sorted(place.label for place in row["decision"]) for row in rows] == [
        sorted(place.label for place in places) for places in LISTS[:4]
    ]
    assert all(place.confidence > 0.5 for row in rows for place in row["decision"])


def test_in_training_bins_beside_the_true_one_are_right_too(head):
    first = head.locations.start
    of_location, of_label = head.shares[first + 7], head.shares[head.processor("frog")[0]]
    assert of_location[first + 7] == of_location.max() and of_location[first + 6] > 0.2 > of_location[first + 2]
    assert of_location.sum() == pytest.approx(1) and of_label.sum() == pytest.approx(1)
    target = BoxesColumn(objects(LISTS[:1]), head.processor)(np.arange(1))
    assert head.train().loss(fused(1), target) != head.eval().loss(fused(1), target)


def test_near_locations_begin_alike():
    waves = location_waves(100, 64)
    assert waves[50] @ waves[51] > waves[50] @ waves[54] > waves[50] @ waves[80]


@pytest.mark.parametrize(("side", "bins"), [(0.5, 100), (0.05, 200), (0.001, 1000)])
def test_bins_follow_from_the_smallest_boxes(side, bins):
    assert choose_bins([[Place("a", (0.2, 0.2, 0.2 + side, 0.2 + side))]] * 20) == bins


def test_lists_that_do_not_fit_are_warned_of():
    with pytest.warns(UserWarning, match="3 of the 12 lists"):
        Places.build(PlacesConfig(bins=20, decoder={"context": 8}), 32, LISTS)
