"""A text that is to be written, as token numbers and back: a tokenizer learned from the targets, or a decoder's own."""

import json
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from sensorium.errors import counted

PAD, START, END = "[PAD]", "[START]", "[END]"
LARGEST_VOCABULARY = 16_384
CHARACTERS_A_TOKEN = 100
_SENTENCE_END = re.compile(r"[.!?…](?=\s)|[。！？]|\n")


class Tokens:
    """A text ↔ its tokens and the `end` token after them, at most `max_tokens` in all.

    tokenizer: its own truncation, padding and special tokens are not used. start: the token that a decoder reads before
    the first that it writes. end: the tokens that end a text; the first stands in targets.
    pad: fills rows; never read.
    """

    def __init__(self, tokenizer: Tokenizer, start: int, end: Sequence[int], pad: int, max_tokens: int):
        self.tokenizer, self.start, self.end, self.pad = tokenizer, start, tuple(end), pad
        self.max_tokens = max_tokens
        tokenizer.no_padding()
        tokenizer.no_truncation()

    @classmethod
    def train(cls, texts: Iterable[str], max_tokens: int, vocabulary: int | None = None) -> "Tokens":
        """A tokenizer learned from `texts`: byte-level byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909;
        Radford et al. 2019) of NFC text as it is written, so that no text of any language is unknown.

        vocabulary: the most tokens it may have; None lets the data decide: the tokens seen three times or more.
        The same texts give the same tokenizer, whatever the number of threads.
        """
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary or LARGEST_VOCABULARY,
            min_frequency=2 if vocabulary else 3,
            special_tokens=[PAD, START, END],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            max_token_length=CHARACTERS_A_TOKEN,
            show_progress=False,
        )
        tokenizer.train_from_iterator(iter(texts), trainer)
        pad, start, end = (tokenizer.token_to_id(token) for token in (PAD, START, END))
        return cls(tokenizer, start, [end], pad, max_tokens)

    @property
    def vocabulary(self) -> int:
        """How many tokens the tokenizer knows."""
        return self.tokenizer.get_vocab_size()

    def __call__(self, text: str) -> list[int]:
        """The text's own tokens, then `end`. A longer text is cut after its last sentence that fits, or within one."""
        return self._encode(text)[0]

    def is_cut(self, text: str) -> bool:
        """Whether the text has more tokens than `max_tokens`."""
        return self._encode(text)[1]

    def warn_of_cut(self, texts: Collection[str]) -> None:
        """Warns of texts to learn that are cut, with their number."""
        cut = sum(map(self.is_cut, texts))
        if cut:
            warnings.warn(
                f"{cut:,} of the {counted(len(texts), 'text')} to learn have more than {self.max_tokens} tokens and are"
                " cut there, at a sentence where one ends; a head that is new takes more by its settings.",
                UserWarning,
                stacklevel=3,
            )

    def _encode(self, text: str) -> tuple[list[int], bool]:
        self.tokenizer.encode_special_tokens = True  # a text that spells one of them means its letters
        encoding = self.tokenizer.encode(text[: self.max_tokens * CHARACTERS_A_TOKEN], add_special_tokens=False)
        ids, most = encoding.ids, self.max_tokens - 1
        if len(ids) <= most:
            return [*ids, self.end[0]], False
        fitting = text[: encoding.offsets[most - 1][1]] if most else ""
        sentence_ends = [match.end() for match in _SENTENCE_END.finditer(fitting)]
        if sentence_ends:
            most = sum(end <= sentence_ends[-1] for _, end in encoding.offsets[:most])
        return [*ids[:most], self.end[0]], True

    def spell(self, ids: Sequence[int]) -> str:
        """The text that tokens spell, without the special ones."""
        special = {self.start, *self.end, self.pad}
        return self.tokenizer.decode([token for token in ids if token not in special]).strip()

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json and processor.json into `folder`."""
        settings = {"start": self.start, "end": list(self.end), "pad": self.pad, "max_tokens": self.max_tokens}
        (Path(folder) / "processor.json").write_text(json.dumps(settings), encoding="utf-8")
        (Path(folder) / "tokenizer.json").write_text(self.tokenizer.to_str(pretty=True), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Tokens":
        """The tokenizer that `save` wrote into `folder`."""
        tokenizer = Tokenizer.from_str((Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))
        return cls(tokenizer, **json.loads((Path(folder) / "processor.json").read_text(encoding="utf-8")))
