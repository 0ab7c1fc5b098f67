"""A text written by the decoder of BART, Marian, T5 and their like, of the Transformers library, over fused tokens."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from sensorium.data.targets.decoder_tokens import decoder_tokens
from sensorium.data.targets.tokens import Tokens
from sensorium.features import Features
from sensorium.generation.autoregressive import Stream
from sensorium.generation.decoder import SpecialTokens
from sensorium.generation.packed import steps_of
from sensorium.generation.settings import Generation
from sensorium.heads.written import (
    GREEDY,
    attended,
    decode_text,
    predict_text,
    read_architecture,
    sequence_fusion,
    text_loss,
    tie_words,
    without_encoder,
)
from sensorium.nn.hub import architecture_of, load_with
from sensorium.nn.precision import wide
from sensorium.nn.shared_weights import save_once

WHAT = "model with an encoder and a decoder"


class Seq2SeqConfig(BaseModel, frozen=True, extra="forbid"):
    """The decoder of a pretrained model. model, architecture, max_tokens, smoothing, train, tied: see CausalConfig.
    first: tokens that it reads after the start, before any text.
    """

    model: str
    architecture: dict[str, Any] | None = None
    max_tokens: int = Field(256, ge=2)
    smoothing: float = Field(0.0, ge=0, lt=1)
    train: Literal["whole", "adapters", "frozen"] = "whole"
    tied: str | None = None
    first: tuple[int, ...] = ()


class Seq2Seq(nn.Module):
    """A decoder that attends to the fused tokens, through a linear map where their width is another. In a row without
    any input it attends to a single token of zeros, the same in every row, which leaves the training prior.

    The constructor gives random weights in the config's architecture; `build` loads the pretrained ones.
    """

    Config = Seq2SeqConfig
    Processor = Tokens
    kind = "text"
    writes = True

    def __init__(self, config: Seq2SeqConfig, dim: int, processor: Tokens, body: PreTrainedModel | None = None):
        super().__init__()
        self.config, self.processor, self.tied = config, processor, config.tied
        if body is None:
            architecture = read_architecture(config, WHAT)
            body = AutoModelForSeq2SeqLM.from_config(architecture, dtype=torch.float32, trust_remote_code=False)
        self.body = without_encoder(body)
        width = body.config.hidden_size
        self.projector = nn.Identity() if width == dim else nn.Linear(dim, width)
        start = (processor.start, *config.first)
        self.special = SpecialTokens(processor.end, processor.pad, start, forced=len(config.first))
        self.context = config.max_tokens
        self.lent: list[Tensor] = []
        self._steps: Any = None
        save_once(self)

    @classmethod
    def build(cls, config: Seq2SeqConfig, dim: int, texts: Iterable[str]) -> "Seq2Seq":
        """The pretrained decoder and its tokenizer. Raises UserError when it cannot be loaded or has no tokenizer."""
        body, _ = load_with(AutoModelForSeq2SeqLM, config.model, WHAT, "lm_head")
        longest = getattr(body.config, "max_position_embeddings", None) or config.max_tokens
        processor = decoder_tokens(config.model, WHAT, body, min(config.max_tokens, longest))
        update = {"architecture": architecture_of(body.config), "max_tokens": processor.max_tokens}
        return cls(config.model_copy(update=update), dim, processor, body)

    @staticmethod
    def usual_fusion(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """See `written.sequence_fusion`."""
        return sequence_fusion(config, WHAT)

    def tie(self, encoder: nn.Module) -> None:
        """See `written.tie_words`."""
        tie_words(self, encoder)

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: see `written.text_loss`."""
        encoded, mask = attended(fused, self.projector)

        def logits_of(row: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
            logits = self.body(
                encoder_outputs=BaseModelOutput(encoded[row]),
                attention_mask=mask[row].long(),
                decoder_input_ids=torch.cat([self._start(len(tokens), tokens.device), tokens[:, :-1]], dim=1),
                use_cache=False,
            ).logits[:, len(self.config.first) :]
            return wide(logits[real])

        return text_loss(logits_of, target, self.config.smoothing if self.training else 0.0)

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, Any]:
        """See `generation.decoder.Decoder`."""
        start = self._start(len(fused.mask), fused.mask.device)
        self._steps = steps_of(self.body, self._steps)
        return self._steps.begin(
            *attended(fused, self.projector), start if prompt is None else torch.cat([start, prompt], dim=1)
        )

    def step(self, tokens: Tensor, state: Any) -> Tensor:
        """See `generation.decoder.Decoder`."""
        return self._steps.step(tokens, state)

    def predict(
        self, fused: Features, generation: Generation = GREEDY, keys: Sequence[str] = (), stream: Stream | None = None
    ) -> dict[str, Tensor]:
        """See `written.predict_text`."""
        return predict_text(self, self.processor, fused, generation, keys, stream)

    def decode(self, prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """See `written.decode_text`."""
        return decode_text(prediction, self.processor)

    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Nothing is chosen after training."""

    def _start(self, count: int, device: torch.device) -> Tensor:
        """int64 [count, S]: what is read before a text."""
        return torch.tensor(self.special.start, device=device).expand(count, -1)
