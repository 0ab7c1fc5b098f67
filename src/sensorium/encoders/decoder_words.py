"""A text as a language model's own embeddings of its tokens, so that a decoder reads it as its prompt."""

from collections.abc import Iterable

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from sensorium.data.targets.decoder_tokens import decoder_tokens, load_tokenizer
from sensorium.encoders.pooling import summarise
from sensorium.encoders.prompt_processor import PromptProcessor
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.nn.hub import load_with

WHAT = "causal language model"


class DecoderWordsConfig(BaseModel, frozen=True, extra="forbid"):
    """The embeddings of a pretrained causal language model.

    model:      its name on the Hugging Face hub, the folder that holds it, or a .gguf file.
    max_tokens: a longer text is cut after its last sentence that fits, a conversation before its first turn that does.
    chat:       a text is what a user says, written by the model's chat template, or a conversation as a JSON list of
                {"role", "content"}.
    vocabulary, width, scale: of the table, and what it is multiplied by; `build` fills them.
    """

    model: str
    max_tokens: int = Field(1024, ge=4)
    chat: bool = False
    vocabulary: int | None = None
    width: int | None = None
    scale: float = 1.0


class DecoderWords(nn.Module):
    """A table of embeddings, which a head that has the same model shares.

    The constructor gives random ones; `build` loads the pretrained ones. Raises UserError when the config has no size.
    """

    Config = DecoderWordsConfig
    Processor = PromptProcessor
    modality = "text"
    pretrained = True

    def __init__(
        self, config: DecoderWordsConfig, processor: PromptProcessor | None = None, summary_only: bool = False
    ):
        super().__init__()
        if config.vocabulary is None or config.width is None:
            raise UserError(
                f"The size of the words of '{config.model}' is not known; build the encoder, which reads it."
            )
        self.config, self.processor, self.summary_only = config, processor, summary_only
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.dim = config.width

    @classmethod
    def build(
        cls, config: DecoderWordsConfig, values: Iterable[str], facts: dict[str, float], summary_only: bool = False
    ) -> "DecoderWords":
        """The pretrained embeddings and their tokenizer. Raises UserError when they cannot be loaded, or there is no
        chat template for `chat`.
        """
        model, _ = load_with(AutoModelForCausalLM, config.model, WHAT, "lm_head")
        words = model.get_input_embeddings()
        longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or config.max_tokens
        tokens = decoder_tokens(config.model, WHAT, model, min(config.max_tokens, longest))
        processor = PromptProcessor.of_tokenizer(tokens, load_tokenizer(config.model, WHAT), config.chat)
        update = {
            "max_tokens": tokens.max_tokens,
            "vocabulary": words.num_embeddings,
            "width": words.embedding_dim,
            "scale": float(getattr(words, "scalar_embed_scale", getattr(words, "embed_scale", 1.0))),
        }
        with torch.device("meta"):  # random embeddings would be replaced at once
            encoder = cls(config.model_copy(update=update), processor, summary_only)
        encoder.words = nn.Embedding.from_pretrained(words.weight.detach(), freeze=False)
        return encoder

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`tokens` int64 [B, L] and `mask` bool [B, L] → Features of T = L tokens (one when summary_only)."""
        tokens = self.words(inputs["tokens"])  # [B, L, D]
        tokens = tokens if self.config.scale == 1 else tokens * self.config.scale
        return summarise(tokens, inputs["mask"], "mean", self.summary_only)
