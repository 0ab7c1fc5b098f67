"""From a text, or a conversation, to the tokens that a language model is prompted with."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jinja2 import TemplateError
from tokenizers import Tokenizer
from torch import Tensor
from transformers.utils.chat_template_utils import render_jinja_template

from sensorium.data.targets.tokens import Tokens
from sensorium.encoders.padding import column, pad_sequences
from sensorium.errors import UserError

NAME = "prompt.json"
ROLES = ("system", "user", "assistant")
Gives = Literal["text", "boxes", "quads", "polygons"]
_TURN = re.compile(rf"({'|'.join(ROLES)}): (.*)", re.DOTALL)


class Task(NamedTuple):
    """What a model was trained to do at a prompt.

    prompt: its text; where it says {phrase} or {region}, one is put in. gives: what the model writes: a text, or places
    as boxes, quads or polygons.
    """

    prompt: str
    gives: Gives

    @property
    def takes(self) -> str | None:
        """What is put into the prompt: "phrase", "region" or nothing."""
        return next((name for name in ("phrase", "region") if f"{{{name}}}" in self.prompt), None)


class PromptProcessor:
    """A text → `tokens` int64 [L], at least one.

    before, after: the tokens that the tokenizer puts around a text. template: of a chat, in Jinja, None for none;
    names: the special tokens that it mentions, by name. tasks: by name, what the model was trained to do; a text that
    is the name of one that takes nothing stands for its prompt.
    """

    decoding: dict[str, Any] = {}  # noqa: RUF012 (a constant of the class)

    def __init__(
        self,
        tokens: Tokens,
        before: list[int],
        template: str | None = None,
        names: dict[str, str] | None = None,
        after: Sequence[int] = (),
        tasks: Mapping[str, Sequence[str]] | None = None,
    ):
        self.tokens, self.before, self.after = tokens, list(before), list(after)
        self.template, self.names = template, names or {}
        self.tasks = {name: Task(*task) for name, task in (tasks or {}).items()}
        self.tokenizer = Tokenizer.from_str(tokens.tokenizer.to_str())  # a template's special tokens are such to it

    @classmethod
    def of_tokenizer(cls, tokens: Tokens, tokenizer: Any, chat: bool) -> "PromptProcessor":
        """That of a Transformers tokenizer. Raises UserError when it has no template for a chat."""
        try:
            template = tokenizer.get_chat_template() if chat else None
        except ValueError as error:
            reason = "The tokenizer has no chat template; choose a model that follows instructions, or no chat."
            raise UserError(reason) from error
        bare, framed = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
        before = framed[: next((i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), 0)]
        names = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        return cls(tokens, [] if chat else before, template, names)

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
        task = self.tasks.get(value)
        text = value if task is None or task.takes else task.prompt
        ids = self.before + self.tokens(text)[:-1] if self.template is None else self._chat(value)
        return {"tokens": torch.tensor((ids or [self.tokens.start])[-self.max_tokens :] + self.after)}

    def _chat(self, value: str) -> list[int]:
        messages = [{"role": speaker, "content": self._plain(text)} for speaker, text in parse_turns(value)]
        system = messages[:1] if messages[0]["role"] == ROLES[0] else []
        # The turns that came first are left out, and what is kept begins with the user, as templates ask for.
        starts = [i for i in range(len(system), len(messages)) if messages[i]["role"] == ROLES[1]]
        for start in starts or [len(messages) - 1]:
            last = messages[start:]
            ids = self._rendered([*system, *last])
            if len(ids) <= self.max_tokens:
                return ids
        room = self.max_tokens - len(self._rendered([*system, *({**turn, "content": ""} for turn in last)]))
        shorter = Tokens(self.tokens.tokenizer, self.tokens.start, self.tokens.end, self.tokens.pad, max(2, room))
        return self._rendered([*system, last[0] | {"content": shorter.spell(shorter(last[0]["content"]))}, *last[1:]])

    def _plain(self, text: str) -> str:
        """The text without what the template marks turns by, which nobody but the template may say."""
        for token in self.tokenizer.get_added_tokens_decoder().values():
            text = text.replace(token.content, "") if token.special else text
        return text

    def _rendered(self, messages: list[dict[str, str]]) -> list[int]:
        try:
            texts, _ = render_jinja_template(
                conversations=[messages], chat_template=self.template, add_generation_prompt=True, **self.names
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise ValueError(f"the model's chat template does not take turns of {roles} ({error})") from error
        return self.tokenizer.encode(texts[0], add_special_tokens=False).ids

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """A batch of texts, None where one is absent → {"tokens": int64 [B, L], "mask": bool [B, L]}, L the longest."""
        tokens, mask = pad_sequences(column(items, "tokens"), dtype=torch.int64, fill=self.tokens.pad)
        return {"tokens": tokens, "mask": mask}

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json, processor.json and prompt.json into `folder`."""
        self.tokens.save(folder)
        settings = {"before": self.before, "template": self.template, "names": self.names}
        settings |= {name: value for name, value in (("after", self.after), ("tasks", self.tasks)) if value}
        (Path(folder) / NAME).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "PromptProcessor":
        """The processor that `save` wrote into `folder`."""
        return cls(Tokens.load(folder), **json.loads((Path(folder) / NAME).read_text(encoding="utf-8")))


def parse_turns(value: str) -> list[tuple[str, str]]:
    """Who says what, of a dialogue with a line a turn, "user: text", as `dialogues` makes them. A line that names none
    of ROLES belongs to the turn before, or is the user's; so does one of the same speaker, for templates take turns.
    """
    turns: list[tuple[str, str]] = []
    for line in value.split("\n"):
        match = _TURN.fullmatch(line)
        speaker, text = (match[1], match[2]) if match else (turns[-1][0] if turns else "user", line)
        if turns and turns[-1][0] == speaker:
            turns[-1] = speaker, f"{turns[-1][1]}\n{text}"
        else:
            turns.append((speaker, text))
    return turns
