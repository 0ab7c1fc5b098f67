"""A conversation with a trained model: what was said before goes with every question."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sensorium.data.sources.dialogues import CONTEXT, DIALOGUE, PERSON, USUAL_SPEAKER, as_line, latest_turns, one_line
from sensorium.errors import UserError, check_known
from sensorium.features import Features
from sensorium.heads.written import decode_text, predict_text
from sensorium.inference.write import generation_settings, spelled_pieces
from sensorium.model import HasModel, Model, loss_scored_targets, model_of


class Remembering:
    """A head `causal` as the decoder of one row after another, which keeps what it has read."""

    def __init__(self, head: Any):
        self.head, self.special, self.context = head, head.special, head.context
        self.state: Any = None
        self.read: list[Tensor] = []

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, Any]:
        """See `generation.decoder.Decoder`; there is no prompt."""
        earlier = None if self.state is None else (torch.cat(self.read), self.state)
        logits, self.state, prefix = self.head.resume(fused, earlier)
        self.read = [prefix]
        return logits, self.state

    def step(self, tokens: Tensor, state: Any) -> Tensor:
        """See `generation.decoder.Decoder`."""
        self.read.append(self.head.words(tokens))
        return self.head.step(tokens, state)


class Chat:
    """A conversation. `turns`: what was said, a line a turn; `cut`: how many of them the model no longer reads.

    target: what the model writes. dialogue: the input that reads what was said. inputs: the other inputs of the model,
    as a picture, which stay until another is given.
    """

    def __init__(self, model: Model, target: str, dialogue: str, context: int, **generation: Any):
        self.model, self.target, self.dialogue, self.context = model, target, dialogue, context
        self.settings = generation_settings(generation)
        head = model.heads[target]
        # With several beams or samples a state is of more than one row.
        single = self.settings.beams == self.settings.best == 1
        self.decoder = Remembering(head) if single and hasattr(head, "resume") else head
        self.turns: list[str] = []
        self.inputs: dict[str, Any] = {}
        self.cut = 0

    @torch.no_grad()
    def say(self, text: str, stream: Callable[[str], None] | None = None, **inputs: Any) -> str:
        """What the model answers to `text`. stream: hears each piece of the answer as it is written. inputs: new values
        of other inputs. Raises UserError for a text without words, an input that the model does not have, or a value
        that cannot be read, and then nothing was said.
        """
        text = one_line(text)
        if not text:
            raise UserError("Nothing was said; type a question.")
        for name in inputs:
            check_known([name for name in self.model.encoders.names if name != self.dialogue], "input", name)
        turns, values = [*self.turns, as_line(PERSON, text)], self.inputs | inputs
        kept = latest_turns(turns, self.context)
        record = self.model.read([values | {self.dialogue: "\n".join(kept)}])
        batch = next(self.model.batches(record, batch_size=1))
        fused = self.model.fuse(self.model.encode(batch.inputs))
        processor = self.model.heads[self.target].processor
        pieces = None if stream is None else spelled_pieces(processor.spell, stream)
        predicted = predict_text(self.decoder, processor, fused, self.settings, [str(len(turns))], pieces)
        answer = decode_text(predicted, processor)[0]["decision"]
        self.turns, self.inputs = [*turns, as_line(USUAL_SPEAKER, answer)], values
        self.cut = len(turns) - len(kept)
        return answer


def chat(
    run: HasModel | Model | str | Path, dialogue: str | None = None, context: int = CONTEXT, **generation: Any
) -> Chat:
    """A conversation with a trained model that writes one text, `Chat.say` by `Chat.say`.

    dialogue: the input that reads what was said, a line a turn as `dialogues` makes them; needed where the model reads
    several texts, none of them named "dialogue". context: words and marks of a dialogue that the model is given, whole
    turns, the latest. generation: see `Generation`. Raises UserError for what the user can mend.
    """
    model = model_of(run).eval()
    targets = [name for name in loss_scored_targets(model) if getattr(model.heads[name], "writes", False)]
    if len(targets) != 1:
        raise UserError(
            f"A conversation needs a model that writes one text, and this one writes {', '.join(targets) or 'none'};"
            " fit one with --target answer=text."
        )
    texts = model.schema.inputs_of("text")
    if not texts:
        raise UserError("This model reads no text, so nothing can be said to it; take sensorium write.")
    if dialogue is None:
        usual = [name for name in texts if name == DIALOGUE] or texts
        if len(usual) > 1:
            raise UserError(f"The model reads several texts; say which is the dialogue: {', '.join(texts)}.")
        dialogue = usual[0]
    check_known(texts, "input of text", dialogue)
    return Chat(model, targets[0], dialogue, context, **generation)


def only_picture(model: Model) -> str:
    """The model's only input of pictures. Raises UserError where there is none or several."""
    names = model.schema.inputs_of("image")
    if len(names) != 1:
        raise UserError(f"The model reads {len(names)} pictures; give each with --input NAME=FILE.")
    return names[0]


def converse(conversation: Chat, ask: Callable[[], str | None], answer: Callable[[str], None], **inputs: Any) -> None:
    """Asks until there is nothing more to ask, None; each piece of an answer goes to `answer`, an end of line after it.

    inputs: of the first question.
    """
    while (text := ask()) is not None:
        if not text.strip():
            continue
        try:
            conversation.say(text, answer, **inputs)
        except UserError as error:
            answer(f"({error})")
        answer("\n")
        inputs = {}
        if conversation.cut:
            answer(f"(the first {conversation.cut} turns are no longer read)\n")
