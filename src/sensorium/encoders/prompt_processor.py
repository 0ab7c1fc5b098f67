"""From a text, or a conversation, to the tokens that a language model is prompted with."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils.chat_template_utils import render_jinja_template

from sensorium.data.targets.tokens import Tokens
from sensorium.encoders.padding import column, pad_sequences
from sensorium.errors import UserError

NAME = "prompt.json"


class PromptProcessor:
    """A text → `tokens` int64 [L], at least one.

    before: the tokens that the tokenizer puts before a text. template: of a chat, in Jinja, None for none; names: the
    special tokens that it mentions, by name.
    """

    decoding: dict[str, Any] = {}  # noqa: RUF012 (a constant of the class)

    def __init__(self, tokens: Tokens, before: list[int], template: str | None, names: dict[str, str]):
        self.tokens, self.before, self.template, self.names = tokens, list(before), template, names

    @classmethod
    def of_tokenizer(cls, tokens: Tokens, tokenizer: Any, chat: bool) -> "PromptProcessor":
        """That of a Transformers tokenizer. Raises UserError when it has no template for a chat."""
        if chat and not tokenizer.chat_template:
            raise UserError("The tokenizer has no chat template; choose a model that follows instructions, or no chat.")
        bare, framed = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
        before = framed[: next((i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), 0)]
        names = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        return cls(tokens, [] if chat else before, tokenizer.chat_template if chat else None, names)

    @property
    def vocabulary(self) -> int:
        """How many tokens the tokenizer knows."""
        return self.tokens.vocabulary

    @property
    def max_tokens(self) -> int:
        """The most tokens of a prompt."""
        return self.tokens.max_tokens

    def __call__(self, value: str, augment: bool = False) -> dict[str, Tensor]:
        """A text → {"tokens": int64 [L]}; there is no augmentation."""
        ids = self.before + self.tokens(value)[:-1] if self.template is None else self._chat(value)
        return {"tokens": torch.tensor((ids or [self.tokens.start])[-self.max_tokens :])}

    def _chat(self, value: str) -> list[int]:
        messages = [{"role": "user", "content": value}]
        if value.startswith('[{"'):
            messages = json.loads(value)
        ids = self._rendered(messages)
        while len(ids) > self.max_tokens and len(messages) > 1:  # the turns that came first are left out
            messages = messages[1:]
            ids = self._rendered(messages)
        if len(ids) > self.max_tokens:
            empty = len(self._rendered([messages[0] | {"content": ""}]))
            shorter = Tokens(self.tokens.tokenizer, self.tokens.start, self.tokens.end, self.tokens.pad, 0)
            shorter.max_tokens = max(2, self.max_tokens - empty)
            ids = self._rendered([messages[0] | {"content": shorter.spell(shorter(messages[0]["content"]))}])
        return ids

    def _rendered(self, messages: list[dict[str, str]]) -> list[int]:
        texts, _ = render_jinja_template(
            conversations=[messages], chat_template=self.template, add_generation_prompt=True, **self.names
        )
        return self.tokens.tokenizer.encode(texts[0], add_special_tokens=False).ids

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """A batch of texts, None where one is absent → {"tokens": int64 [B, L], "mask": bool [B, L]}, L the longest."""
        tokens, mask = pad_sequences(column(items, "tokens"), dtype=torch.int64, fill=self.tokens.pad)
        return {"tokens": tokens, "mask": mask}

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json, processor.json and prompt.json into `folder`."""
        self.tokens.save(folder)
        settings = {"before": self.before, "template": self.template, "names": self.names}
        (Path(folder) / NAME).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "PromptProcessor":
        """The processor that `save` wrote into `folder`."""
        return cls(Tokens.load(folder), **json.loads((Path(folder) / NAME).read_text(encoding="utf-8")))
