"""Words with their times, of the tokens of a text and the frames at which they begin."""

import unicodedata
from collections.abc import Callable, Sequence

from sensorium.inference.transcript import Word

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})  # languages that put no blanks between words


def words_of(
    tokens: Sequence[int], times: Sequence[float], spell: Callable[[list[int]], str], language: str | None
) -> list[Word]:
    """The words of a text's `tokens`. times: seconds at which each begins, and the last ends. A word begins with a
    blank, or in a language without blanks with any letter; punctuation belongs to the word before it.
    """
    letters: list[tuple[str, int]] = []  # the pieces that spell whole letters, with the token after them
    first = 0
    for end in range(1, len(tokens) + 1):
        text = spell(list(tokens[first:end]))
        if not text.endswith("\N{REPLACEMENT CHARACTER}") or end == len(tokens):
            letters.append((text, end))
            first = end
    words: list[Word] = []
    start = 0
    for text, end in letters:
        opens = text.startswith(" ") or language in UNSPACED
        if words and (not opens or _is_punctuation(text)):
            words[-1] = words[-1]._replace(word=words[-1].word + text, end=times[end])
        else:
            words.append(Word(text, times[start], times[end]))
        start = end
    return [word._replace(word=word.word.strip()) for word in words if word.word.strip()]


def _is_punctuation(text: str) -> bool:
    return all(unicodedata.category(letter).startswith("P") for letter in text.strip()) and bool(text.strip())
