"""The inputs' table tells the truth in worlds where the truth is planted, and its sentence says it."""

from itertools import permutations

import numpy as np
import pytest

from sensorium.evaluation import coalitions, evaluate_targets, shapley
from sensorium.evaluation.inputs import format_number
from tests.evaluation.planted import world


def signs(generator: np.random.Generator, rows: int) -> np.ndarray:
    return generator.choice([-1.0, 1.0], rows)


def flipped(generator: np.random.Generator, sign: np.ndarray, rate: float) -> np.ndarray:
    """`sign` with a share `rate` of them wrong."""
    return np.where(generator.random(len(sign)) < rate, -sign, sign)


def judged(inputs, yes, rule, **options):
    model, table = world(inputs, yes, rule)
    report = evaluate_targets(model, table, resamples=500, **options).targets[0]
    return report.judgement, report.sentence


def test_shapley_agrees_with_the_average_over_orders():
    inputs = ("a", "b", "c", "d")
    generator = np.random.default_rng(0)
    worth = {team: generator.normal(size=3) for team in coalitions(inputs)}
    assert len(worth) == 16
    expected = dict.fromkeys(inputs, 0)
    orders = list(permutations(inputs))
    for order in orders:
        for place, name in enumerate(order):
            before, after = (tuple(one for one in inputs if one in order[:end]) for end in (place, place + 1))
            expected[name] = expected[name] + (worth[after] - worth[before]) / len(orders)
    found = shapley(worth, inputs)
    for name in inputs:
        assert found[name] == pytest.approx(expected[name])
    assert sum(found.values()) == pytest.approx(worth[inputs] - worth[()])


def test_more_than_six_inputs_have_no_shapley_but_the_rest():
    inputs = tuple("abcdefg")
    assert len(coalitions(inputs)) == 2 + 7 + 7
    assert len(coalitions(inputs[:6])) == 64
    generator = np.random.default_rng(0)
    sign = signs(generator, 200)
    columns = {name: signs(generator, 200) for name in inputs} | {"c": flipped(generator, sign, 0.1)}
    judgement, sentence = judged(columns, sign > 0, lambda numbers: 3 * numbers["c"])
    assert all(worth.shapley is None for worth in judgement.inputs.values())
    assert sentence.startswith("'c' earns its keep most: without it accuracy falls from ")
    assert sentence.endswith("; 'a', 'b', 'd', 'e', 'f' and 'g' add nothing measurable to the others.")


def test_only_one_input_decides():
    generator = np.random.default_rng(1)
    sign = signs(generator, 400)
    inputs = {"name": flipped(generator, sign, 0.05), "voice": signs(generator, 400)}
    judgement, sentence = judged(inputs, sign > 0, lambda numbers: 3 * numbers["name"] + 0.1 * numbers["voice"])
    name, voice = judgement.inputs["name"], judgement.inputs["voice"]
    assert name.alone.value == judgement.all.value > 0.9 and name.shapley.low > 0.3
    assert name.without.low < 0.5 < name.without.high
    assert voice.loss == (0, 0, 0, None) and voice.shapley.low <= 0 <= voice.shapley.high
    assert sentence == (
        f"'name' earns its keep most: without it accuracy falls from {format_number(judgement.all.value)} to"
        f" {format_number(name.without.value)}; 'voice' adds nothing measurable (its Shapley interval covers zero)."
    )


def test_exclusive_or_is_at_chance_alone_and_right_together():
    generator = np.random.default_rng(2)
    left, right = signs(generator, 400), signs(generator, 400)
    sign = flipped(generator, left * right, 0.02)
    judgement, sentence = judged({"left": left, "right": right}, sign > 0, lambda n: 4 * n["left"] * n["right"] - 0.01)
    for worth in judgement.inputs.values():
        assert worth.alone.low < 0.53 and worth.alone.high > 0.47
        assert worth.shapley.low > 0.15 and worth.shapley.high < 0.35
    assert judgement.all.low > 0.95
    assert "though alone it is at chance" in sentence and "only together" in sentence and "nothing" not in sentence
    assert sentence.endswith(("'left' helps too.", "'right' helps too."))


def test_redundant_inputs_share_the_worth_and_neither_is_missed():
    generator = np.random.default_rng(3)
    sign = signs(generator, 400)
    same = flipped(generator, sign, 0.1)
    judgement, sentence = judged({"one": same, "two": same}, sign > 0, lambda numbers: numbers["one"] + numbers["two"])
    one, two = judgement.inputs["one"], judgement.inputs["two"]
    assert one.loss.value == two.loss.value == 0
    assert one.shapley == two.shapley and one.shapley.low > 0.15
    assert "can stand in for it" in sentence and "nothing" not in sentence


def test_an_input_the_model_is_better_without_does_harm():
    generator = np.random.default_rng(4)
    sign = signs(generator, 400)
    inputs = {"good": flipped(generator, sign, 0.1), "bad": signs(generator, 400) * (generator.random(400) < 0.5)}
    judgement, sentence = judged(inputs, sign > 0, lambda numbers: 2 * numbers["good"] + 3 * numbers["bad"])
    assert judgement.inputs["bad"].loss.high < 0 and judgement.inputs["bad"].without.value > judgement.all.value
    assert sentence.startswith("'good' earns its keep most")
    assert f"; 'bad' does harm: without it accuracy rises from {format_number(judgement.all.value)} to 0.9" in sentence


def test_noise_covers_zero_in_at_least_18_of_20_seeds():
    covered = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        sign = signs(generator, 300)
        inputs = {"real": sign + generator.normal(0, 1, 300), "noise": generator.normal(0, 1, 300)}
        judgement, _ = judged(inputs, sign > 0, lambda n: n["real"] + 0.1 * n["noise"], seed=seed)
        share = judgement.inputs["noise"].shapley
        assert share.low < share.high
        covered += share.low <= 0 <= share.high
    assert covered >= 18


def test_nothing_is_useful():
    generator = np.random.default_rng(5)
    inputs = {"a": signs(generator, 200), "b": signs(generator, 200)}
    _, sentence = judged(inputs, generator.random(200) > 0.5, lambda numbers: numbers["a"] + 0.5 * numbers["b"])
    assert sentence == "'a' and 'b' add nothing measurable (their Shapley intervals cover zero)."


def test_a_single_input_is_compared_with_the_prior():
    generator = np.random.default_rng(6)
    sign = signs(generator, 300)
    judgement, sentence = judged({"text": flipped(generator, sign, 0.1)}, sign > 0, lambda numbers: numbers["text"])
    assert sentence.startswith("The only input, 'text', brings accuracy from ")
    assert judgement.inputs["text"].shapley.value == pytest.approx(judgement.all.value - judgement.none.value)


def test_who_lacks_an_input_gets_the_prior_and_counts():
    """Half of the records lack the input: alone it is right on its half and at the prior's rate on the other."""
    generator = np.random.default_rng(7)
    yes = np.arange(400) % 10 < 7
    text = np.where(np.arange(400) % 20 < 10, np.where(yes, 1.0, -1.0), np.nan)
    inputs = {"text": text, "noise": generator.normal(size=400)}
    model, table = world(inputs, yes, lambda numbers: 3 * numbers["text"], prior=0.7)
    report = evaluate_targets(model, table, resamples=200)
    worth = report.targets[0].judgement.inputs["text"]
    assert worth.alone.value == pytest.approx(0.5 * 1 + 0.5 * 0.7)
    assert report.present == {"text": 200, "noise": 400}


def test_shapley_adds_up_to_all_less_none():
    generator = np.random.default_rng(8)
    sign = signs(generator, 200)
    inputs = {name: flipped(generator, sign, rate) for name, rate in (("a", 0.2), ("b", 0.3), ("c", 0.4))}
    judgement, _ = judged(inputs, sign > 0, lambda numbers: 2 * (numbers["a"] + numbers["b"] + numbers["c"]))
    total = sum(worth.shapley.value for worth in judgement.inputs.values())
    assert total == pytest.approx(judgement.all.value - judgement.none.value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "\u2013"),
        (0.5, "0.500"),
        (-0.12, "-0.120"),
        (1.0, "1.000"),
        (-0.0001, "0"),
        (12.345, "12.3"),
        (12345.6, "12,346"),
    ],
)
def test_figures_read_well(number, text):
    assert format_number(number) == text
