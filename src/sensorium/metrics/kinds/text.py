"""The metrics of a target that is a text: its loss, and how near what was written is to a record's references."""

import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from sensorium.metrics.kinds.loss import LossMetrics
from sensorium.metrics.resampling import Metric, mean
from sensorium.metrics.shares import Share, share

NEAREST = "chrf"
"""The metric of written texts by which a model is judged: it is defined for short texts and for any language."""
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"  # scripts without blanks between words
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_ORDERS = 4  # of the n-grams of BLEU


TEXT_METRICS = LossMetrics("neg_loss", ("sacrebleu", "jiwer", "pycocoevalcap"), "text")
"""What is written is measured by `written_metrics`."""
References = Sequence[Sequence[str]]


def written_metrics(references: References, written: Sequence[str]) -> dict[str, Metric]:
    """Every metric of N texts that were `written`, each beside its record's references.

    BLEU (Papineni et al. 2002) of as many orders as there are, chrF (Popović 2015), ROUGE-L (Lin 2004) and exact match
    lie between 0 and 1; CIDEr (Vedantam et al. 2015, arXiv:1411.5726) between 0 and 10, with the frequencies of words
    among all N references, also in a resample; errors are lower where it is better, see `error_rates`.
    `check_measurable` says whether what measures them is installed.
    """
    return {
        "chrf": chrf(references, written),
        "bleu": bleu(references, written),
        "cider": mean(cider(references, written)),
        "rouge_l": Share(mean(rouge_l(references, written))),
        "exact_match": share(exact_matches(references, written)),
    } | error_rates(references, written)


def chrf(references: References, written: Sequence[str]) -> Share:
    """chrF of the corpus, as sacrebleu has it."""
    from sacrebleu.metrics import CHRF

    return _of_corpus(CHRF(), references, written, chrf_of_counts)


def bleu(references: References, written: Sequence[str]) -> Share:
    """BLEU of the corpus, as sacrebleu has it with its smoothing and effective order: of texts that are all too short
    for four words in a row, by the orders that there are. Scripts without blanks are taken letter by letter.
    """
    from sacrebleu.metrics import BLEU

    letters = re.findall(r"\w", " ".join(text for texts in references for text in texts))
    unspaced = sum(re.match(f"[{_UNSPACED}]", letter) is not None for letter in letters) > len(letters) / 2
    metric = BLEU(tokenize="char" if unspaced else "13a", effective_order=True)
    return _of_corpus(metric, references, written, bleu_of_counts)


def _of_corpus(
    metric: object, references: References, written: Sequence[str], score: Callable[[np.ndarray], np.ndarray]
) -> Share:
    """A metric of sacrebleu: its counts of each text are summed over a resample's texts, by one matrix product."""
    counts = [
        metric._extract_corpus_statistics([text], [[reference] for reference in texts])[0]
        for text, texts in zip(written, references, strict=True)
    ]
    counts = np.array(counts, dtype=np.float64).T  # [counts, N]
    return Share(lambda weights: score((counts.astype(weights.dtype) @ weights).astype(np.float64)))


def bleu_of_counts(counts: np.ndarray) -> np.ndarray:
    """float [R]: BLEU of summed counts [2 + 8, R]: lengths of texts and references, n-grams that match and all."""
    written, reference, correct, total = counts[0], counts[1], counts[2 : 2 + _ORDERS], counts[2 + _ORDERS :]
    counted = np.logical_and.accumulate(total > 0, axis=0)
    # Orders without a match count half as much each time there is a further one.
    halvings = np.cumsum(counted & (correct == 0), axis=0)
    matches = np.where(correct > 0, correct, 0.5**halvings)
    logs = np.where(counted, np.log(matches / np.maximum(total, 1)), 0.0).sum(axis=0)
    precision = np.exp(logs / np.maximum(counted.sum(axis=0), 1))
    brevity = np.exp(np.minimum(0.0, 1 - reference / np.maximum(written, 1e-9)))
    return np.where(correct.sum(axis=0) > 0, brevity * precision, 0.0)


def chrf_of_counts(counts: np.ndarray, beta: float = 2.0) -> np.ndarray:
    """float [R]: chrF of summed counts [3 * orders, R]: n-grams of the texts, of the references, and those in both."""
    written, reference, match = counts[0::3], counts[1::3], counts[2::3]
    counted = (written > 0) & (reference > 0)
    orders = np.maximum(counted.sum(axis=0), 1)
    precision = np.where(counted, match / np.maximum(written, 1), 0.0).sum(axis=0) / orders
    recall = np.where(counted, match / np.maximum(reference, 1), 0.0).sum(axis=0) / orders
    return (1 + beta**2) * precision * recall / np.maximum(beta**2 * precision + recall, 1e-12)


def chrf_of_each(references: References, written: Sequence[str]) -> np.ndarray:
    """float [N]: chrF of each text alone."""
    return chrf(references, written)(np.eye(len(written))) if len(written) else np.zeros(0)


def cider(references: References, written: Sequence[str]) -> np.ndarray:
    """float [N]: CIDEr-D of each text, as pycocoevalcap has it, of words in small letters."""
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    scorer = CiderScorer()
    for text, texts in zip(written, references, strict=True):
        scorer += (words(text), [words(reference) for reference in texts])
    return scorer.compute_score()[1]


def rouge_l(references: References, written: Sequence[str]) -> np.ndarray:
    """float [N]: ROUGE-L of each text, as pycocoevalcap has it, of words in small letters."""
    from pycocoevalcap.rouge.rouge import Rouge

    scorer = Rouge()
    pairs = zip(written, references, strict=True)
    return np.array([scorer.calc_score([words(text)], [words(ref) for ref in texts]) for text, texts in pairs])


def exact_matches(references: References, written: Sequence[str]) -> np.ndarray:
    """float [N]: 1 where a text is one of its references, letter by letter."""
    return np.array([float(text in texts) for text, texts in zip(written, references, strict=True)])


def error_rates(references: References, written: Sequence[str]) -> dict[str, Metric]:
    """Words, and letters, that have to be put in, taken out or replaced, as a share of those of the nearest reference
    (jiwer). Of words also by what is wrong: insertions are words that were written and are not in the reference.
    """
    import jiwer

    *of_words, words_in_all = map(mean, _edits(jiwer.process_words, references, written))
    *of_letters, letters_in_all = map(mean, _edits(jiwer.process_characters, references, written))
    insertions, deletions, substitutions = of_words
    return {
        "word_error_rate": _rate(of_words, words_in_all),
        "character_error_rate": _rate(of_letters, letters_in_all),
        "word_insertions": _rate([insertions], words_in_all),
        "word_deletions": _rate([deletions], words_in_all),
        "word_substitutions": _rate([substitutions], words_in_all),
    }


def _edits(process: Callable, references: References, written: Sequence[str]) -> np.ndarray:
    """float [4, N]: of each text the insertions, deletions and substitutions to its nearest reference, and the length
    of that. process: jiwer's comparison of a reference and a text.
    """
    edits = np.zeros((4, len(written)))
    for row, (text, texts) in enumerate(zip(written, references, strict=True)):
        for number, reference in enumerate(texts):
            counts = process(reference, text)
            wrong = (counts.insertions, counts.deletions, counts.substitutions)
            length = counts.substitutions + counts.deletions + counts.hits
            nearer = sum(wrong) * max(1, edits[3, row]) < edits[:3, row].sum() * max(1, length)
            if number == 0 or nearer:
                edits[:, row] = *wrong, length
    return edits


def _rate(errors: list[Metric], length: Metric) -> Metric:
    """A share of all words; where the references have none, 1 if anything was written, as jiwer has it."""

    def rate(weights: np.ndarray) -> np.ndarray:
        wrong, all_of_them = sum(metric(weights) for metric in errors), length(weights)
        return np.where(all_of_them > 0, wrong / np.maximum(all_of_them, np.finfo(float).tiny), np.sign(wrong))

    return rate


@cache
def _english() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})


NORMALISERS: dict[str, Callable[[str], str]] = {"none": str, "english": lambda text: _english()(text)}
"""What may be done to references and written texts before they are compared. english: Whisper's normaliser (Radford et
al. 2022, arXiv:2212.04356), which takes out punctuation, capitals and filler words and spells numbers and contractions
in one way; its list of British spellings, which no package brings, is left out."""


def words(text: str) -> str:
    """The words of a text in small letters, without punctuation, with blanks between; a letter of a script without
    blanks is a word. A text without any word is what it is.
    """
    return " ".join(_WORD.findall(text.casefold())) or text.strip() or "\N{EMPTY SET}"
