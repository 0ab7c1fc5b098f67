"""Any text encoder of the Transformers library, by hub name or from a local folder."""

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from sensorium.encoders.pooling import Pooling, as_features, summarise
from sensorium.encoders.text_processor import TextAugmentation, TextProcessor
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.nn.hub import architecture_of, encoder_of, load, load_weights
from sensorium.nn.packing import Packing

AT_ONCE = 64  # windows
WHAT = "text encoder"


class TransformersTextConfig(BaseModel, frozen=True, extra="forbid"):
    """A pretrained text encoder.

    model:        its name on the Hugging Face hub, the folder that holds it, or `minilm`, which a package brings.
    architecture: its Transformers configuration; `build` fills it, so that our checkpoint does not need the source.
    pooling:      the summary is the mean of the tokens, the first or the last; take what the model was trained with.
    max_tokens:   of a window; never more than the model can read.
    windows:      a longer text is read in at most so many windows, of which the summary is the mean by tokens; what is
                  beyond them is cut.
    augmentation: token dropout in training; None for none."""

    model: str
    architecture: dict[str, Any] | None = None
    pooling: Pooling = "mean"
    max_tokens: int = Field(256, ge=4)
    windows: int = Field(1, ge=1, exclude_if=(1).__eq__)
    augmentation: TextAugmentation | None = TextAugmentation()


class TransformersText(nn.Module):
    """The encoder of a Transformers model, without its pooler (which no loss of ours reaches).

    The constructor gives random weights in the config's architecture; `build` loads the pretrained ones. Code that
    comes with a model is never run, and weights are read from safetensors only. Raises UserError when the config has
    no architecture."""

    Config = TransformersTextConfig
    Processor = TextProcessor
    modality = "text"
    pretrained = True

    def __init__(
        self, config: TransformersTextConfig, processor: TextProcessor | None = None, summary_only: bool = False
    ):
        super().__init__()
        if config.architecture is None:
            raise UserError(f"The architecture of '{config.model}' is not known; build the encoder, which reads it.")
        self.config, self.processor, self.summary_only = config, processor, summary_only
        architecture = AutoConfig.for_model(**config.architecture)
        self.body = encoder_of(AutoModel.from_config(architecture, dtype=torch.float32, trust_remote_code=False))
        self.dim = self.body.config.hidden_size

    @classmethod
    def build(
        cls, config: TransformersTextConfig, values: Iterable[str], facts: dict[str, float], summary_only: bool = False
    ) -> "TransformersText":
        """The pretrained encoder and its tokenizer. Raises UserError when it cannot be loaded or is no text encoder."""
        architecture = load(AutoConfig, config.model, WHAT)
        pretrained = load_weights(config.model, WHAT)
        _check_reads_text(config.model, pretrained)
        processor = processor_of(config, pretrained)
        update = {"architecture": architecture_of(architecture), "max_tokens": processor.max_tokens}
        config = config.model_copy(update=update)
        with torch.device("meta"):  # random weights would be replaced at once
            encoder = cls(config, processor, summary_only)
        encoder.body = encoder_of(pretrained)
        return encoder

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`tokens` int64 [B, L] and `mask` bool [B, L] → Features of T = L tokens (one when summary_only)."""
        ids, mask = inputs["tokens"], inputs["mask"]
        if mask.shape[1] > self.config.max_tokens:
            return self._read_windows(ids, mask)
        return self._read(ids, mask, self.summary_only)

    def _read(self, ids: Tensor, mask: Tensor, summary_only: bool) -> Features:
        tokens = self.body(input_ids=ids, attention_mask=mask.long()).last_hidden_state  # [B, L, D]
        return summarise(tokens, mask, self.config.pooling, summary_only)

    def _read_windows(self, ids: Tensor, mask: Tensor) -> Features:
        """Each window by itself, some at a time; tokens follow each other as in the text."""
        size, longest_text = self.config.max_tokens, mask.shape[1]
        padding = -longest_text % size
        ids, mask = (nn.functional.pad(tensor, (0, padding)).unflatten(1, (-1, size)) for tensor in (ids, mask))
        count = mask.sum(dim=2)  # [B, N]: tokens of each window
        packing = Packing.of(count > 0)
        # Windows of like length stand together, so that little is computed on padding.
        order = packing.pack(count).argsort(stable=True)
        windows = packing.pack(ids)[order].split(AT_ONCE), packing.pack(mask)[order].split(AT_ONCE)
        pieces = []
        for window_ids, window_mask in zip(*windows, strict=True):
            longest = int(window_mask.sum(dim=1).max())
            tokens, real, pooled = self._read(window_ids[:, :longest], window_mask[:, :longest], self.summary_only)
            missing = 0 if self.summary_only else size - longest
            tokens, real = nn.functional.pad(tokens, (0, 0, 0, missing)), nn.functional.pad(real, (0, missing))
            pieces.append(Features(tokens, real, pooled))
        # Back to the texts.
        places = order.argsort()
        tokens, real, pooled = (packing.pad(torch.cat(column)[places]) for column in zip(*pieces, strict=True))
        share = count / count.sum(dim=1, keepdim=True).clamp(min=1)  # [B, N]
        pooled = (pooled * share[..., None]).sum(dim=1)
        tokens, real = tokens.flatten(1, 2)[:, :longest_text], real.flatten(1, 2)[:, :longest_text]  # [B, L, D], [B, L]
        return as_features(tokens, real, pooled, self.summary_only)


def _check_reads_text(source: str, model: PreTrainedModel) -> None:
    composite = model.config.get_text_config() is not model.config and not model.config.is_encoder_decoder
    if composite or model.main_input_name != "input_ids":
        model_type = model.config.model_type
        raise UserError(f"The model '{source}' ({model_type}) does not read text alone; choose a text encoder.")


def _longest(model: PreTrainedModel) -> float:
    """How many tokens the model has positions for."""
    positions = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if isinstance(positions, nn.Embedding):
        # Models like RoBERTa count positions from after the padding token's number.
        return positions.num_embeddings - (0 if positions.padding_idx is None else positions.padding_idx + 1)
    return getattr(model.config, "max_position_embeddings", None) or float("inf")


def processor_of(config: TransformersTextConfig, model: PreTrainedModel) -> TextProcessor:
    """The tokenizer that came with a model. Raises UserError when there is none."""
    tokenizer = load(AutoTokenizer, config.model, WHAT)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"The model '{config.model}' has no tokenizer.json, nor can one be made; choose one that has.")
    candidates = [tokenizer.unk_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, 0]
    mask = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.unk_token_id
    max_tokens = int(min(config.max_tokens, tokenizer.model_max_length, _longest(model)))
    unknown_token = next(token for token in candidates if token is not None)
    padding, augmentation = tokenizer.pad_token_id or 0, config.augmentation
    return TextProcessor(backend, max_tokens, padding, unknown_token, mask, augmentation, config.windows)
