"""Metrics of written texts: on the whole corpus those of sacrebleu, pycocoevalcap and jiwer, in resamples as well."""

import jiwer
import numpy as np
import pytest
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from sacrebleu.metrics import BLEU, CHRF

import sensorium
from sensorium.errors import UserError
from sensorium.metrics import kinds
from sensorium.metrics.kinds import text as texts
from sensorium.metrics.resampling import Resamples, distribution, point

PLACES, COLOURS, KINDS = ["left", "right", "top"], ["red", "blue", "green"], ["circle", "square", "big old star"]


def corpus(seed: int, rows: int = 40, most: int = 3) -> tuple[list[list[str]], list[str]]:
    """References, some records with several, and texts that share words with them; a few are wrong in every word."""
    rng = np.random.default_rng(seed)

    def sentence() -> str:
        count = rng.integers(1, 4)
        return (
            " and ".join(
                f"a {rng.choice(COLOURS)} {rng.choice(KINDS)} at the {rng.choice(PLACES)}" for _ in range(count)
            ).capitalize()
            + "."
        )

    references = [[sentence() for _ in range(rng.integers(1, most + 1))] for _ in range(rows)]
    written = [references[row][0] if row % 4 == 0 else sentence() if row % 7 else "Nothing" for row in range(rows)]
    return references, written


def transposed(references: list[list[str]]) -> list[list[str | None]]:
    most = max(map(len, references))
    return [[row[place] if place < len(row) else None for row in references] for place in range(most)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bleu_and_chrf_are_those_of_sacrebleu(seed):
    references, written = corpus(seed)
    expected = CHRF().corpus_score(written, transposed(references)).score / 100
    assert point(texts.chrf(references, written), len(written)) == pytest.approx(expected, abs=1e-6)
    for share in (1, 4):  # all rows, and those that are right
        expected = (
            BLEU(effective_order=True).corpus_score(written[::share], transposed(references[::share])).score / 100
        )
        reached = point(texts.bleu(references[::share], written[::share]), len(written[::share]))
        assert reached == pytest.approx(expected, abs=1e-6) and (share == 1 or reached > 0.99)


def test_short_and_wrong_texts_have_the_scores_of_sacrebleu():
    for references, written in (([["a dog"]], ["a dog"]), ([["a dog sat"]], ["the cat"]), ([["a b c d"]], ["a x c d"])):
        expected = BLEU(effective_order=True).corpus_score(written, transposed(references)).score / 100
        assert point(texts.bleu(references, written), 1) == pytest.approx(expected, abs=1e-6)
        assert texts.chrf_of_each(references, written)[0] == pytest.approx(
            CHRF().sentence_score(written[0], references[0]).score / 100, abs=1e-6
        )
    assert point(texts.bleu([["红色的圆在左边"]], ["红色的圆在右边"]), 1) > 0.4


def test_a_resample_has_the_score_of_the_records_that_were_drawn():
    references, written = corpus(3)
    weights = next(Resamples(len(written), count=3, seed=1).chunks())
    for column in weights.T:
        rows = np.repeat(np.arange(len(written)), column.astype(int))
        drawn_references, drawn = [references[row] for row in rows], [written[row] for row in rows]
        one = column[:, None]
        refs = transposed(drawn_references)
        assert texts.chrf(references, written)(one)[0] == pytest.approx(
            CHRF().corpus_score(drawn, refs).score / 100, abs=1e-6
        )
        expected = BLEU(effective_order=True).corpus_score(drawn, refs).score / 100
        assert texts.bleu(references, written)(one)[0] == pytest.approx(expected, abs=1e-6)
    assert (
        distribution(
            {"wer": texts.error_rates(references, written)["word_error_rate"]}, Resamples(len(written), count=50)
        )["wer"].std()
        > 0
    )


def test_cider_and_rouge_are_those_of_pycocoevalcap():
    references, written = corpus(4)
    gts = {row: [texts.words(text) for text in refs] for row, refs in enumerate(references)}
    res = {row: [texts.words(text)] for row, text in enumerate(written)}
    for ours, theirs in ((texts.cider, Cider()), (texts.rouge_l, Rouge())):
        value, each = theirs.compute_score(gts, res)
        scores = ours(references, written)
        assert scores.mean() == pytest.approx(value, abs=1e-6)
        np.testing.assert_allclose(scores, each, atol=1e-6)


def test_the_word_error_rate_is_that_of_jiwer():
    references, written = corpus(5, most=1)
    expected = jiwer.wer([refs[0] for refs in references], written)
    assert point(texts.error_rates(references, written)["word_error_rate"], len(written)) == pytest.approx(
        expected, abs=1e-6
    )
    nearest = point(texts.error_rates([["one two three", "a dog"]], ["a dog"])["word_error_rate"], 1)
    assert nearest == 0


@pytest.mark.filterwarnings("error")
def test_references_without_words_make_no_error_infinite():
    for written, rate in ((["", ""], 0), (["a", "dog"], 1)):
        rates = texts.error_rates([[""], [""]], written)
        assert {name: point(rates[name], 2) for name in ("word_error_rate", "character_error_rate")} == {
            "word_error_rate": rate, "character_error_rate": rate,
        }  # fmt: skip


def test_errors_are_counted_by_what_is_wrong_and_by_letters_as_jiwer_does():
    references, written = corpus(6, most=1)
    written[0], written[1] = written[0] + " and more", ""
    rates = {name: point(metric, len(written)) for name, metric in texts.error_rates(references, written).items()}
    firsts = [refs[0] for refs in references]
    expected = jiwer.process_words(firsts, written)
    count = expected.hits + expected.substitutions + expected.deletions
    for name in ("insertions", "deletions", "substitutions"):
        assert rates[f"word_{name}"] == pytest.approx(getattr(expected, name) / count) and rates[f"word_{name}"] > 0
    assert rates["character_error_rate"] == pytest.approx(jiwer.cer(firsts, written))
    # Each measure takes the reference that is nearest by it.
    rates = texts.error_rates([["abcdefgh", "abcd efgz"]], ["abcd efgh"])
    assert point(rates["word_error_rate"], 1) == 0.5 and point(rates["character_error_rate"], 1) == pytest.approx(1 / 9)


def test_the_english_normaliser_is_whispers():
    english = texts.NORMALISERS["english"]
    assert english("Mr. Smith won't pay $20 for twenty-one dogs, hmm!") == "mister smith will not pay $20 for 21 dogs"
    assert texts.NORMALISERS["none"]("Mr. Smith, hmm!") == "Mr. Smith, hmm!"


def test_an_empty_text_is_measured():
    values = {
        name: point(metric, 2) for name, metric in texts.written_metrics([["a dog"], ["two"]], ["", "two"]).items()
    }
    assert values["exact_match"] == 0.5 and values["word_error_rate"] == pytest.approx(2 / 3)
    assert all(np.isfinite(value) for value in values.values())


def test_words_have_no_punctuation_and_letters_of_scripts_without_blanks_are_words():
    assert texts.words("A DOG, it's 3!") == "a dog it s 3" and texts.words("青い kite。") == "青 い kite"
    assert texts.words("...") == "..."


def test_the_loss_is_the_headline_while_there_is_no_text():
    prediction = {"loss": np.array([1.0, 3.0], dtype=np.float32)}
    metrics = texts.TEXT_METRICS.metrics({}, prediction)
    assert list(metrics) == [texts.TEXT_METRICS.headline({})] and point(metrics["neg_loss"], 2) == -2


def test_a_package_that_measures_texts_and_is_missing_is_said_before_a_fit(monkeypatch):
    monkeypatch.setattr(kinds, "find_spec", lambda name: None if name == "jiwer" else object())
    kinds.check_measurable("class")
    with pytest.raises(UserError, match=r"needs the package 'jiwer'.*sensorium\[text\]"):
        sensorium.fit([{"a": 1.0, "b": "one text"}, {"a": 2.0, "b": "two texts"}], target={"b": "text"}, quiet=True)
