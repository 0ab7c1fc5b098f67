"""A plain fit with experts beside the network: from a table to a decision, saved, loaded, without some inputs."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import sensorium
from sensorium.config.schema import Recipe
from sensorium.data.read import read
from sensorium.errors import UserError
from sensorium.experts.views import FEATURES, WORDS, Source
from sensorium.heads.ensemble import Ensemble
from sensorium.heads.late import Late
from sensorium.tasks.splits import cross_splits, split_records
from sensorium.training.experts import _source

ROWS = 160
GOOD, BAD = ("lovely", "great", "superb"), ("awful", "poor", "broken")


def frame(seed: int = 0) -> pd.DataFrame:
    """What is liked follows the word, and the exclusive-or of size and colour where there is no text."""
    chance = np.random.default_rng(seed)
    rows = []
    for number in range(ROWS):
        size, colour, word = chance.normal(), chance.choice(["red", "blue"]), chance.choice(GOOD + BAD)
        odd = (size > 0) ^ (colour == "red")
        absent = number % 2 == 0
        liked = odd if absent else word in GOOD
        text = None if absent else f"a {word} mug, number {number}"
        rows.append({"text": text, "size": size, "colour": colour, "liked": "yes" if liked else "no",
                     "price": 10.0 + 3 * size + (2 if liked else 0)})  # fmt: skip
    return pd.DataFrame(rows)


COLUMNS = {"text": "text", "colour": "category", "size": "number"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    table = read(frame(), target=["liked", "price"], columns=COLUMNS, quiet=True)
    return sensorium.fit(table, tmp_path_factory.mktemp("experts") / "run", epochs=4, quiet=True)


def test_the_heads_are_ensembles_and_say_so_in_the_checkpoint(run):
    described = json.loads((run.folder / "model" / "model.json").read_text())
    assert {name: head["name"] for name, head in described["heads"].items()} == {
        "liked": "ensemble", "price": "ensemble",
    }  # fmt: skip
    names = {expert["name"] for expert in described["experts"]["experts"]}
    assert names == {"linear", "boosted_trees"}
    assert all(isinstance(head, Ensemble) for _, head in run.model.heads.items())
    assert not (run.folder / "folds").exists() and not (run.folder / "start").exists()


def test_it_learns_what_is_planted_and_loads_to_the_same_bits(run):
    new = frame(seed=1)
    predicted = run.model.predict(new)
    right = (predicted["liked"] == new["liked"]).to_numpy()
    assert right[1::2].mean() > 0.9 and right[::2].mean() > 0.8
    loaded = sensorium.load(run.folder)
    again = loaded.predict(new)
    assert np.array_equal(predicted["liked_probability_yes"], again["liked_probability_yes"])
    assert np.array_equal(predicted["price"], again["price"])


def test_damaged_trees_are_a_damaged_checkpoint(run, tmp_path):
    copied = shutil.copytree(run.folder / "model", tmp_path / "model")
    for path in copied.glob("experts/*/trees-0.txt"):
        text = path.read_text()
        path.write_text(text[: len(text) // 2])  # LightGBM would end the process
    with pytest.raises(UserError, match="damaged or incomplete"):
        sensorium.load(tmp_path)


def test_a_record_alone_is_decided_as_in_a_batch(run):
    new = frame(seed=2).head(9)
    together = run.model.predict(new)["liked_probability_yes"].to_numpy()
    alone = [run.model.predict(new.iloc[[row]])["liked_probability_yes"].iloc[0] for row in range(len(new))]
    assert np.allclose(together, alone, rtol=1e-5, atol=1e-7)


def test_what_an_absent_input_is_filled_with_changes_no_bit(run):
    records = frame(seed=3).drop(columns=["liked", "price"]).to_dict("records")
    batch = next(run.model.batches(run.model.read(records), batch_size=len(records)))
    noisy = {
        name: {key: torch.where(value["mask"].any(dim=1).view(-1, *[1] * (tensor.dim() - 1)), tensor,
                                torch.full_like(tensor, 1)) if key != "mask" else tensor
               for key, tensor in value.items()}
        for name, value in batch.inputs.items()
    }  # fmt: skip
    with torch.no_grad():
        plain, filled = (run.model.decide(run.model.fuse(run.model.encode(inputs))) for inputs in (batch.inputs, noisy))
    assert torch.equal(plain["liked"]["probabilities"], filled["liked"]["probabilities"])


def test_a_record_without_inputs_gets_the_prior_and_inputs_can_be_asked_for_alone(run):
    nothing = run.model.predict([{}])[0]
    shares = frame()["liked"].value_counts(normalize=True)
    assert nothing["liked"]["probabilities"]["yes"] == pytest.approx(shares["yes"], abs=0.05)
    assert run.model.embed([{"text": "lovely"}], "text").shape[0] == 1
    worth = run.metrics["inputs"]["liked"]
    assert worth["text"]["shapley"]["value"] > 0


def test_a_gradient_reaches_the_network_through_the_decision(run):
    batch = next(run.model.batches(run.model.read(frame().head(4)), batch_size=4))
    features = run.model.encode(batch.inputs)
    leaf = {**features, "text": features["text"]._replace(pooled=features["text"].pooled.detach().requires_grad_())}
    run.model.decide(run.model.fuse(leaf))["liked"]["probabilities"][:, 1].sum().backward()
    assert torch.isfinite(leaf["text"].pooled.grad).all()


def test_experts_can_be_declined(tmp_path):
    table = read(frame(), target="liked", columns=COLUMNS | {"price": "ignored"}, quiet=True)
    run = sensorium.fit(table, tmp_path / "run", epochs=1, quiet=True, experts=False)
    assert isinstance(run.model.heads["liked"], Late) and run.model.experts is None
    assert "experts" not in json.loads((run.folder / "model" / "model.json").read_text())


def test_folds_share_no_group_and_leave_every_training_record_out_once():
    rows = frame().assign(group=[f"g{number // 4}" for number in range(ROWS)])
    table = read(rows, target="liked", group="group", columns=COLUMNS, quiet=True)
    ids = {spec.name: np.arange(1, ROWS + 1) for spec in table.schema.inputs}
    splits = split_records(table, ids, Recipe())
    folds = cross_splits(splits, 4, seed=0)
    left_out = np.concatenate([fold["validation"].table.rows for fold in folds])
    assert sorted(left_out) == sorted(splits["train"].table.rows)
    for fold in folds:
        assert not set(fold["train"].table.groups) & set(fold["validation"].table.groups)
        assert len(fold["train"].table) + len(fold["validation"].table) == len(splits["train_val"].table)
    few = {name: split._replace(together=np.zeros(len(split.table), int)) for name, split in splits.items()}
    assert cross_splits(few, 4, seed=0) == []


def test_presets_choose_epochs_and_folds():
    from sensorium.config.defaults import fill_defaults

    filled = {name: fill_defaults(Recipe(preset=name), 600).training for name in ("fast", "good", "best")}
    assert filled["fast"].epochs < filled["good"].epochs < filled["best"].epochs
    assert [filled[name].cross_fit for name in filled] == [False, True, True]
    assert [fill_defaults(Recipe(preset=name), 3_000).training.cross_fit for name in filled] == [False, False, True]
    assert fill_defaults(Recipe(budget="1m"), 600).training.cross_fit is False


def test_texts_that_come_again_and_again_are_names_to_the_trees(tmp_path):
    chance = np.random.default_rng(3)
    first, second = ("north", "south", "east", "west"), ("mill", "lane", "yard", "quay", "hill", "gate", "ford")
    shops = [f"the {side} {place} bakery" for side in first for place in second]
    rising = dict(zip(shops, chance.permutation(len(shops)) % 2, strict=True))  # no word of a name tells
    rows = []
    for _ in range(12 * len(shops)):
        shop, year = chance.choice(shops), int(chance.integers(2000, 2020))
        score = (year - 2000) * rising[shop] + chance.normal()
        rows.append({"shop": shop, "year": year, "score": score, "note": f"seen by {chance.integers(10**9)}"})
    table = pd.DataFrame(rows)
    columns = {"shop": "text", "note": "text"}
    run = sensorium.fit(
        table, tmp_path / "run", target="score", columns=columns, epochs=1, refit=False, test=0.2, preset="fast",
        encoders={"shop": "text", "note": "text"}, quiet=True,
    )  # fmt: skip
    assert "shop/names" in run.model.experts.processors and "note/names" not in run.model.experts.processors
    assert run.metrics["targets"]["score"]["r2"]["value"] > 0.8
    boosted = [expert.config for name, _, expert in run.model.experts.experts if name == "boosted_trees"]
    assert all(config.categories["shop/names"] == [len(shops) + 1] for config in boosted)
    loaded = sensorium.load(run.folder)
    names = [next(shop for shop in shops if rising[shop] == is_rising) for is_rising in (1, 0)]
    asked = [{"shop": shop, "year": 2019, "note": "seen"} for shop in (*names, "a shop nobody knows", None)]
    decided = [row["score"]["decision"] for row in loaded.predict(asked)]
    assert decided[0] > decided[1] + 4 and np.isfinite(decided).all()


def test_a_column_may_have_the_name_of_a_view():
    assert _source("cells") == Source("cells", FEATURES) and _source("words") == Source("words", FEATURES)
    assert _source("a/b/words") == Source("a/b", WORDS) and _source("a/b") == Source("a/b", FEATURES)
