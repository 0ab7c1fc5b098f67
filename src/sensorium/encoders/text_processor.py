"""From a text to token numbers: a tokenizer trained on the data, or one that came with a model."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from sensorium.encoders.padding import column, pad_sequences
from sensorium.encoders.processor_files import read_settings, write_settings
from sensorium.errors import UserError

START, END, PAD, MASK = "[CLS]", "[SEP]", "[PAD]", "[MASK]"
LARGEST_VOCABULARY = 16_384
CHARACTERS_A_TOKEN = 100


def check_vocabulary(vocabulary: int | None, processor: "TextProcessor | None") -> None:
    """Raises UserError when an encoder's vocabulary is not known, or smaller than that of its `processor`."""
    if vocabulary is None:
        raise UserError("A text encoder needs the option 'vocabulary'; state it, or build it from training texts.")
    if processor is not None and processor.vocabulary > vocabulary:
        raise UserError(
            f"The tokenizer has {processor.vocabulary} tokens, the option 'vocabulary' says {vocabulary}; raise the"
            " option."
        )


def check_context(context: int | None, processor: "TextProcessor | None") -> None:
    """Raises UserError when the number of an encoder's positions is not known, or less than `processor` may fill."""
    if context is None:
        raise UserError("A text encoder needs the option 'context'; state it, or build it from training texts.")
    if processor is not None and processor.max_tokens > context:
        raise UserError(
            f"The tokenizer cuts texts to {processor.max_tokens} tokens, the model has {context} positions; lower the"
            " tokenizer's."
        )


class TextAugmentation(BaseModel, frozen=True, extra="forbid"):
    """Token dropout: each token of a training text becomes the mask token with probability `rate`."""

    rate: float = Field(0.1, ge=0, lt=1)


class TextProcessor:
    """A text → `tokens` int64 [L], at most `max_tokens` of them and at least one; of a longer text up to `windows` of
    `max_tokens` each, end to end, with the special tokens in each.

    tokenizer: its own truncation and padding are replaced by `max_tokens` and by padding to the longest of a batch.
    pad:       the token of padding; it is masked, so it is never read.
    unknown:   the token that stands for a text in which the tokenizer finds nothing.
    mask:      the token that replaces a dropped one; None: dropped tokens are removed.
    windows:   beyond so many a text is cut."""

    decoding: dict[str, Any] = {}  # noqa: RUF012 (a constant of the class)

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_tokens: int,
        pad: int,
        unknown: int,
        mask: int | None,
        augmentation: TextAugmentation | None = TextAugmentation(),  # noqa: B008 (frozen)
        windows: int = 1,
    ):
        self.tokenizer, self.windows = tokenizer, windows
        self.pad_token, self.unknown_token, self.mask_token = pad, unknown, mask
        self.augmentation = augmentation
        tokenizer.no_padding()
        self.cut(max_tokens)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        max_tokens: int,
        vocabulary: int | None = None,
        augmentation: TextAugmentation | None = TextAugmentation(),  # noqa: B008 (frozen)
    ) -> "TextProcessor":
        """A processor whose tokenizer is learned from `texts`: byte-level byte-pair encoding (Sennrich et al. 2016,
        arXiv:1508.07909; Radford et al. 2019) of lower-cased NFKC text, so that no text of any language is unknown.

        vocabulary: the most tokens it may have; None lets the data decide: the tokens seen three times or more.
        The same texts give the same tokenizer, whatever the number of threads."""
        # How a text is cleaned and cut before its pairs are merged.
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary or LARGEST_VOCABULARY,
            min_frequency=2 if vocabulary else 3,
            special_tokens=[PAD, START, END, MASK],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            max_token_length=CHARACTERS_A_TOKEN,
            show_progress=False,
        )
        tokenizer.train_from_iterator(iter(texts), trainer)
        pad, start, end, mask = (tokenizer.token_to_id(token) for token in (PAD, START, END, MASK))
        # Each text gets a start and an end token.
        frame = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)])
        tokenizer.post_processor = frame
        return cls(tokenizer, max_tokens, pad, start, mask, augmentation)

    def cut(self, max_tokens: int) -> None:
        """Cuts texts to at most so many tokens from now on."""
        self.max_tokens = max_tokens
        self.tokenizer.enable_truncation(max_tokens)

    def cut_to_longest(self, texts: Iterable[str], shortest: int) -> None:
        """Cuts texts to the length of the longest of `texts` from now on, but not below `shortest` tokens."""
        self.cut(max([shortest, *(len(self(text)["tokens"]) for text in texts)]))

    @property
    def vocabulary(self) -> int:
        """How many tokens the tokenizer knows."""
        return self.tokenizer.get_vocab_size()

    def __call__(self, value: str, augment: bool = False) -> dict[str, Tensor]:
        """A text → {"tokens": int64 [L]}. With `augment`, tokens are dropped by torch's global random state."""
        tokens, special = self.encode(value)
        if augment and self.augmentation is not None and not special.all():
            tokens = self._drop(tokens, special)
        return {"tokens": tokens}

    def encode(self, value: str) -> tuple[Tensor, Tensor]:
        """A text → its tokens, int64 [L], and which of them the tokenizer added, bool [L]."""
        encoding = self.tokenizer.encode(value[: self.windows * self.max_tokens * CHARACTERS_A_TOKEN])
        windows = [encoding, *encoding.overflowing[: self.windows - 1]]
        tokens = [token for window in windows for token in window.ids]
        if not tokens:
            return torch.tensor([self.unknown_token]), torch.tensor([True])
        special = [mark for window in windows for mark in window.special_tokens_mask]
        return torch.tensor(tokens), torch.tensor(special, dtype=torch.bool)

    def spelled(self, tokens: Sequence[int]) -> str:
        """The text that tokens spell, without the special ones."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True).strip()

    def _drop(self, tokens: Tensor, special: Tensor) -> Tensor:
        dropped = (torch.rand(len(tokens)) < self.augmentation.rate) & ~special
        if self.mask_token is not None:
            return tokens.masked_fill(dropped, self.mask_token)
        return tokens if dropped.all() else tokens[~dropped]

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """A batch of texts, None where one is absent → {"tokens": int64 [B, L], "mask": bool [B, L]}, L the longest."""
        tokens, mask = pad_sequences(column(items, "tokens"), dtype=torch.int64, fill=self.pad_token)
        return {"tokens": tokens, "mask": mask}

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json and processor.json into `folder`."""
        tokens = {"pad": self.pad_token, "unknown": self.unknown_token, "mask": self.mask_token}
        windows = {} if self.windows == 1 else {"windows": self.windows}  # a file is as it was before there were any
        write_settings(folder, {"max_tokens": self.max_tokens} | windows | tokens, self.augmentation)
        (Path(folder) / "tokenizer.json").write_text(self.tokenizer.to_str(pretty=True), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "TextProcessor":
        """The processor that `save` wrote into `folder`."""
        tokenizer = Tokenizer.from_str((Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))
        return cls(tokenizer, **read_settings(folder, TextAugmentation))
