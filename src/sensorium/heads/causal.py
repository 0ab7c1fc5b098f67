"""A text written by a causal language model of the Transformers library, after the fused tokens as its prefix."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from sensorium.data.targets.decoder_tokens import decoder_tokens
from sensorium.data.targets.tokens import Tokens
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.generation.autoregressive import Stream
from sensorium.generation.decoder import SpecialTokens
from sensorium.generation.packed import steps_of
from sensorium.generation.settings import Generation
from sensorium.generation.transformers import CausalSteps
from sensorium.heads.written import (
    GREEDY,
    decode_text,
    predict_text,
    read_architecture,
    sequence_fusion,
    text_loss,
    tie_words,
)
from sensorium.nn.hub import architecture_of, load_with
from sensorium.nn.shared_weights import save_once

WHAT = "causal language model"


class CausalConfig(BaseModel, frozen=True, extra="forbid"):
    """A pretrained causal language model.

    model:        its name on the Hugging Face hub, the folder that holds it, or a .gguf file.
    architecture: its Transformers configuration; `build` fills it, so that our checkpoint does not need the source.
    max_tokens:   of a text that is written, its end among them; a longer reference is cut.
    smoothing:    of the labels in training.
    train:        all of the model, low-rank adapters in it, or nothing but the projector before it.
    tied:         the input whose encoder lends its embeddings of words, so that they are stored once.
    """

    model: str
    architecture: dict[str, Any] | None = None
    max_tokens: int = Field(256, ge=2)
    smoothing: float = Field(0.0, ge=0, lt=1)
    train: Literal["whole", "adapters", "frozen"] = "whole"
    tied: str | None = None


class Causal(nn.Module):
    """Fused tokens, through a linear map where their width is another, are the first that the model reads; a text
    follows. A row without any input begins with the start of a text, which leaves the training prior.

    The constructor gives random weights in the config's architecture; `build` loads the pretrained ones.
    """

    Config = CausalConfig
    Processor = Tokens
    kind = "text"
    writes = True

    def __init__(self, config: CausalConfig, dim: int, processor: Tokens, body: PreTrainedModel | None = None):
        super().__init__()
        self.config, self.processor, self.tied = config, processor, config.tied
        if body is None:
            architecture = read_architecture(config, WHAT)
            body = AutoModelForCausalLM.from_config(architecture, dtype=torch.float32, trust_remote_code=False)
        self.body = body
        width = self.words.weight.shape[1]
        self.projector = nn.Identity() if width == dim else nn.Linear(dim, width)
        self.context = config.max_tokens
        self.special = SpecialTokens(processor.end, processor.pad)
        self.lent: list[Tensor] = []
        self._steps: Any = None
        save_once(self)

    @classmethod
    def build(cls, config: CausalConfig, dim: int, texts: Iterable[str]) -> "Causal":
        """The pretrained model and its tokenizer. Raises UserError when it cannot be loaded or has no tokenizer."""
        body, _ = load_with(AutoModelForCausalLM, config.model, WHAT, "lm_head")
        processor = decoder_tokens(config.model, WHAT, body, config.max_tokens)
        config = config.model_copy(update={"architecture": architecture_of(body.config)})
        return cls(config, dim, processor, body)

    @staticmethod
    def usual_fusion(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """See `written.sequence_fusion`."""
        return sequence_fusion(config, WHAT)

    @property
    def words(self) -> nn.Embedding:
        """The model's embeddings of words."""
        return self.body.get_input_embeddings()

    def tie(self, encoder: nn.Module) -> None:
        """See `written.tie_words`."""
        tie_words(self, encoder)

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: see `written.text_loss`."""
        prefix, mask = self._prefix(fused)

        def logits_of(row: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
            embedded = torch.cat([prefix[row], self.words(tokens[:, :-1])], dim=1)  # [N, T + L - 1, D]
            read = torch.cat([mask[row], real[:, :-1]], dim=1)
            positions = (read.cumsum(dim=1) - 1).clamp(min=0)
            steps = CausalSteps(self.body)
            return steps.all_logits(embedded, read, positions, tokens.shape[1])[real]

        return text_loss(logits_of, target, self.config.smoothing if self.training else 0.0)

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, Any]:
        """See `generation.decoder.Decoder`."""
        prefix, mask = self._prefix(fused)
        if prompt is not None:
            prefix = torch.cat([prefix, self.words(prompt)], dim=1)
            mask = torch.cat([mask, mask.new_ones(prompt.shape)], dim=1)
        self._steps = steps_of(self.body, self._steps)
        return self._steps.begin(prefix, mask)

    def resume(self, fused: Features, earlier: tuple[Tensor, Any] | None) -> tuple[Tensor, Any, Tensor]:
        """`begin` for one row, which reads nothing again that it begins with as an earlier search did; and what it has
        read, float [T, D]. earlier: what that search has read and its state, which is spent.
        """
        prefix, mask = self._prefix(fused)
        before, self._steps = self._steps, steps_of(self.body, self._steps)
        common = 0
        if earlier is not None and before is self._steps and before.keeps_all(earlier[1]):
            length = min(len(earlier[0]), prefix.shape[1] - 1)
            common = int((earlier[0][:length] == prefix[0, :length]).all(dim=1).cumprod(dim=0).sum())
        begun = self._steps.resume(prefix, earlier[1], common) if common else self._steps.begin(prefix, mask)
        return *begun, prefix[0]

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

    def _prefix(self, fused: Features) -> tuple[Tensor, Tensor]:
        """float [B, T, D], what each row reads first, padded on the left, and bool [B, T], which of it is real."""
        longest = max(1, int(fused.mask.sum(dim=1).max())) if len(fused.mask) else 1
        positions = getattr(self.body.config.get_text_config(), "max_position_embeddings", None)
        if positions is not None and longest + self.context > positions:
            raise UserError(
                f"The inputs give {longest} tokens and a text up to {self.context}, but {self.config.model} reads"
                f" {positions}; lower max_tokens of the head or of the encoders."
            )
        order = fused.mask.int().argsort(dim=1, stable=True)[:, -longest:]  # [B, T], the real ones last
        mask = fused.mask.gather(1, order)
        tokens = fused.tokens.gather(1, order[..., None].expand(-1, -1, fused.tokens.shape[2]))
        prefix = torch.where(mask[..., None], self.projector(torch.where(mask[..., None], tokens, 0.0)), 0.0)
        # A row without any input begins with the start of a text.
        start = self.words(torch.tensor(self.processor.start, device=mask.device))
        empty, last = ~mask.any(dim=1, keepdim=True), torch.arange(longest, device=mask.device) == longest - 1
        return torch.where((empty & last)[..., None], start, prefix), mask | (empty & last)
