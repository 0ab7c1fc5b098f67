"""Numbers and categories as tokens."""

import pickle
import time

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from sensorium.encoders.table import TableConfig, TableEncoder
from sensorium.encoders.table_processor import TableAugmentation, TableProcessor, describe_columns
from sensorium.errors import UserError


def records(count: int = 200) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {
            "age": float(rng.normal(50, 10)) if rng.random() > 0.1 else None,
            "pay": float(np.exp(rng.normal(9, 2))),
            "city": str(rng.choice(["Rome", "Oslo", "Bern"], p=[0.6, 0.3, 0.1])) if rng.random() > 0.1 else None,
        }
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def encoder() -> TableEncoder:
    torch.manual_seed(0)
    return TableEncoder.build(TableConfig(width=16), records(), {}).eval()


def batch(encoder: TableEncoder, values: list[dict | None], augment: bool = False) -> dict[str, torch.Tensor]:
    return encoder.processor.pad([None if value is None else encoder.processor(value, augment) for value in values])


def test_tokens_are_the_summary_and_one_a_column(encoder):
    inputs = batch(encoder, [{"age": 40.0, "pay": None, "city": "Rome"}, {"pay": 3.0}, None, {}])
    assert inputs["number"].shape == (4, 2) and inputs["category"].shape == (4, 1) and inputs["mask"].shape == (4, 3)
    assert inputs["mask"].tolist() == [[True, False, True], [False, True, False], [False] * 3, [False] * 3]
    features = encoder(inputs)
    assert features.tokens.shape == (4, 4, 16)
    assert features.mask.tolist() == [[True, True, False, True], [True, False, True, False], [False] * 4, [False] * 4]
    assert torch.equal(features.tokens[:, 0], features.pooled)
    assert features.present.tolist() == [True, True, False, False]
    assert not features.pooled[2:].any() and not features.tokens[~features.mask].any()


def test_a_row_alone_equals_the_row_in_a_batch(encoder):
    rows = records(20)
    together = encoder(batch(encoder, rows))
    for row, value in enumerate(rows):
        alone = encoder(batch(encoder, [value]))
        torch.testing.assert_close(alone.pooled[0], together.pooled[row], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone.tokens[0], together.tokens[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("noise", [7.0, torch.nan])
def test_what_stands_in_an_absent_place_changes_no_bit(encoder, noise):
    inputs = batch(encoder, [{"age": 40.0}, {"city": "Oslo"}, {"pay": 3.0, "city": "Bern"}])
    mask = inputs["mask"]
    noised = {
        "number": torch.where(mask[:, :2], inputs["number"], noise),
        "category": torch.where(mask[:, 2:], inputs["category"], 2),
        "mask": mask,
    }
    for one, two in zip(encoder(inputs), encoder(noised), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("columns", [["age"], ["city"], ["age", "pay"], ["age", "pay", "city"]])
@pytest.mark.parametrize("read", ["pooled", "tokens"])
def test_every_parameter_receives_a_gradient(columns, read):
    rows = [{name: row[name] for name in columns} for row in records()]
    encoder = TableEncoder.build(TableConfig(), rows, {})
    features = getattr(encoder(batch(encoder, rows)), read)
    (features * torch.randn_like(features)).sum().backward()
    dead = [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert dead == []


def test_summary_only_gives_the_same_summary_as_one_token(encoder):
    brief = TableEncoder(encoder.config, encoder.processor, summary_only=True).eval()
    brief.load_state_dict(encoder.state_dict(), strict=True)
    inputs = batch(encoder, [*records(5), None])
    features = brief(inputs)
    assert features.tokens.shape == (6, 1, 16)
    assert torch.equal(features.pooled, encoder(inputs).pooled)
    assert torch.equal(features.present, encoder(inputs).present)


def test_numbers_are_read_in_quartile_ranges_from_the_median(encoder):
    ages = np.array([row["age"] for row in records() if row["age"] is not None])
    low, median, high = np.quantile(ages, [0.25, 0.5, 0.75])
    inputs = batch(encoder, [{"age": float(value)} for value in (low, median, high)])
    torch.testing.assert_close(
        inputs["number"][:, 0],
        torch.tensor((np.array([low, median, high]) - median) / (high - low), dtype=torch.float32),
    )


def test_an_outlier_neither_explodes_nor_is_lost():
    rows = [{"x": float(x)} for x in range(100)] + [{"x": 1e30}]
    encoder = TableEncoder.build(TableConfig(width=16), rows, {}).eval()
    assert encoder.processor.numbers[0].median == 50 and encoder.processor.numbers[0].scale == 50
    inputs = batch(encoder, [{"x": 99.0}, {"x": 1e12}, {"x": -1e300}, {"x": 1e300}, {"x": float("inf")}])
    tokens = encoder(inputs).tokens[:, 1]
    assert tokens.isfinite().all() and tokens.abs().max() < 20
    assert (tokens[0] - tokens[1]).abs().max() > 0.1
    torch.testing.assert_close(tokens[3], tokens[4])


def test_large_numbers_with_small_differences_are_told_apart():
    rows = [{"time": 1.7e9 + second} for second in range(100)]
    encoder = TableEncoder.build(TableConfig(), rows, {}).eval()
    number = batch(encoder, rows)["number"][:, 0]
    assert (number.diff() > 0).all()
    torch.testing.assert_close(number.diff(), torch.full((99,), 1 / 49.5), rtol=1e-4, atol=0)


def test_constant_and_two_valued_columns_are_read():
    rows = [{"one": 3.0, "two": float(place % 50 == 0)} for place in range(100)]
    encoder = TableEncoder.build(TableConfig(), rows, {}).eval()
    features = encoder(batch(encoder, [{"one": 3.0, "two": 0.0}, {"one": 3.0, "two": 1.0}, {"one": 4.0, "two": 0.0}]))
    assert features.tokens.isfinite().all()
    assert (features.pooled[0] - features.pooled[1]).abs().max() > 1e-2
    assert (features.pooled[0] - features.pooled[2]).abs().max() > 1e-2


def test_a_category_that_training_did_not_have_is_other_not_absent(encoder):
    inputs = batch(encoder, [{"city": "Rome"}, {"city": "Paris"}, {"city": "Lima"}, {"city": None}])
    assert inputs["category"][:, 0].tolist() == [1, 0, 0, 0]
    pooled = encoder(inputs).pooled
    assert torch.equal(pooled[1], pooled[2]) and not torch.equal(pooled[0], pooled[1])
    assert pooled[1].any() and not pooled[3].any()


def test_values_are_ordered_by_frequency_and_single_ones_are_other():
    rows = [{"c": value} for value in ["b", "a", "b", "once", "a", "c", "c", "c", None]]
    _, (column,) = describe_columns(rows, 16)
    assert column.values == ["c", "a", "b"] and column.counts == [3, 2, 2]
    _, (same,) = describe_columns(rows[::-1], 16)
    assert same == column


def test_rare_values_become_other_more_often_so_that_it_is_trained():
    rows = [{"c": "often"}] * 99 + [{"c": "seldom"}] * 3
    encoder = TableEncoder.build(TableConfig(), rows, {})
    torch.manual_seed(0)
    other = {
        value: np.mean([encoder.processor({"c": value}, augment=True)["category"].item() == 0 for _ in range(4000)])
        for value in ("often", "seldom", "new")
    }
    assert 0.005 < other["often"] < 0.016 and 0.22 < other["seldom"] < 0.28 and other["new"] == 1
    plain = TableEncoder.build(TableConfig(augmentation=None), rows, {}).processor
    assert all(plain({"c": "seldom"}, augment=True)["category"].item() for _ in range(50))


def test_augmentation_hides_columns_but_never_all_and_follows_the_global_seed():
    processor = TableProcessor(*describe_columns(records(), 16), TableAugmentation(absent=0.9))
    value = {"age": 40.0, "pay": 3.0, "city": "Rome"}
    torch.manual_seed(5)
    masks = torch.stack([processor(value, augment=True)["mask"] for _ in range(300)])
    torch.manual_seed(5)
    assert torch.equal(torch.stack([processor(value, augment=True)["mask"] for _ in range(300)]), masks)
    assert masks.any(dim=1).all() and not masks.all(dim=1).all()
    state = torch.get_rng_state()
    assert processor(value)["mask"].all()
    assert torch.equal(torch.get_rng_state(), state)


def test_saving_pickling_and_the_config_keep_everything(encoder, tmp_path):
    encoder.processor.save(tmp_path / "new")
    config = TableConfig.model_validate_json(encoder.config.model_dump_json())
    again = TableEncoder(config).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    expected = encoder(batch(encoder, records(9)))
    for processor in (
        TableProcessor.load(tmp_path / "new"),
        pickle.loads(pickle.dumps(encoder.processor)),
        again.processor,
    ):
        assert processor.augmentation == encoder.processor.augmentation
        got = again(processor.pad([processor(row) for row in records(9)]))
        for one, two in zip(got, expected, strict=True):
            assert torch.equal(one, two)


def test_a_call_is_fast():
    rows = [{f"n{place}": float(row * place) for place in range(30)} for row in range(50)]
    encoder = TableEncoder.build(TableConfig(), rows, {})
    start = time.perf_counter()
    for _ in range(20):
        for row in rows:
            encoder.processor(row, augment=True)
    assert (time.perf_counter() - start) / 1000 < 1e-3


def fit(encoders: list[TableEncoder], inputs: list[dict], labels: torch.Tensor, steps: int = 150) -> float:
    """The accuracy, on the second half, of a small network over the encoders' summaries trained on the first."""
    head = nn.Sequential(nn.Linear(sum(encoder.dim for encoder in encoders), 64), nn.GELU(), nn.Linear(64, 1))
    parts = nn.ModuleList([*encoders, head])
    optimizer = torch.optim.AdamW(parts.parameters(), lr=3e-3, weight_decay=0.01)
    half = len(labels) // 2

    def score(rows: slice) -> torch.Tensor:
        given = [{key: tensor[rows] for key, tensor in one.items()} for one in inputs]
        return head(torch.cat([encoder(one).pooled for encoder, one in zip(encoders, given, strict=True)], dim=1))[:, 0]

    for _ in range(steps):
        loss = nn.functional.binary_cross_entropy_with_logits(score(slice(half)), labels[:half].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    parts.eval()
    return ((score(slice(half, None)) > 0) == labels[half:]).float().mean().item()


def test_the_exclusive_or_of_two_thresholds_in_two_inputs_is_learned():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=1000), np.exp(3 * rng.normal(size=1000))  # the second spans many orders of magnitude
    labels = torch.from_numpy((x > 0.4) ^ (y > 1.0))
    pairs = [[{"x": float(value)} for value in x], [{"y": float(value)} for value in y]]
    encoders = [TableEncoder.build(TableConfig(), rows[:500], {}) for rows in pairs]
    inputs = [batch(encoder, rows) for encoder, rows in zip(encoders, pairs, strict=True)]
    assert fit(encoders, inputs, labels) > 0.95


def test_the_exclusive_or_of_two_categories_in_one_input_is_learned():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    values = rng.integers(4, size=(800, 2))
    rows = [{"a": f"a{a}", "b": f"b{b}"} for a, b in values]
    encoder = TableEncoder.build(TableConfig(), rows[:400], {})
    labels = torch.from_numpy((values[:, 0] % 2) != (values[:, 1] % 2))
    assert fit([encoder], [batch(encoder, rows)], labels, steps=80) > 0.97


def test_mistakes_are_sentences():
    with pytest.raises(UserError, match="needs its columns"):
        TableEncoder(TableConfig())
    with pytest.raises(UserError, match="'x' holds numbers and texts"):
        TableEncoder.build(TableConfig(), [{"x": 1.0}, {"x": "one"}], {})
    with pytest.raises(UserError, match="No number or category column"):
        TableEncoder.build(TableConfig(), [{"x": None}, {}], {})
    with pytest.raises(ValidationError):
        TableConfig(widht=3)
