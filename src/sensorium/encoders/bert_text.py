"""Texts through BERT's layers, which take published weights and compute nothing on padding."""

from collections.abc import Iterable

from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.encoders.text_processor import TextAugmentation, TextProcessor, check_context, check_vocabulary
from sensorium.features import Features
from sensorium.nn.attention import check_config_heads
from sensorium.nn.packing import Packing
from sensorium.nn.post_norm import Block, Embeddings, Shape, run

MOST_CONTEXT = 256  # tokens of a training text, where no context is stated


class BertTextConfig(BaseModel, frozen=True, extra="forbid"):
    """The shape of BERT's layers.

    vocabulary: tokens known; None lets `build` choose it from the training texts.
    context:    positions learned; a longer text is cut. None lets `build` take the length of the longest training text,
                at most 256.
    width, depth, heads, ratio: of the layers; `heads` divides `width`, the MLP is `ratio` times as wide.
    kinds:      of texts that BERT learned to distinguish; the first is used.
    dropout:    of the embeddings and of what each step adds, in training.
    eps:        of every LayerNorm.
    augmentation: token dropout in training; None for none."""

    vocabulary: int | None = Field(None, ge=1)
    context: int | None = Field(None, ge=4)
    width: int = Field(128, ge=1)
    depth: int = Field(4, ge=1)
    heads: int = Field(2, ge=1)
    ratio: float = Field(4.0, gt=0)
    kinds: int = Field(1, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    eps: float = Field(1e-12, gt=0)
    augmentation: TextAugmentation | None = None

    @model_validator(mode="after")
    def _divides(self) -> "BertTextConfig":
        check_config_heads(self.width, self.heads)
        return self

    @property
    def shape(self) -> Shape:
        """The shape of its blocks."""
        return Shape(self.width, self.heads, round(self.width * self.ratio), self.dropout, self.eps)


class BertText(nn.Module):
    """Words and positions, normalised, then BERT's blocks (Devlin et al. 2018, arXiv:1810.04805); pooled is the first
    token.

    Raises UserError for a vocabulary or context that is None (only `build` chooses it) or less than the processor's."""

    Config = BertTextConfig
    Processor = TextProcessor
    modality = "text"
    pretrained = False

    def __init__(self, config: BertTextConfig, processor: TextProcessor | None = None, summary_only: bool = False):
        super().__init__()
        check_vocabulary(config.vocabulary, processor)
        check_context(config.context, processor)
        self.config, self.processor, self.summary_only = config, processor, summary_only
        self.dim = config.width
        self.embeddings = Embeddings(config.vocabulary, config.context, config.kinds, config.shape)
        self.blocks = nn.ModuleList(Block(config.shape) for _ in range(config.depth))

    @classmethod
    def build(
        cls, config: BertTextConfig, values: Iterable[str], facts: dict[str, float], summary_only: bool = False
    ) -> "BertText":
        """An encoder for training: its tokenizer is learned from the texts `values`, which are read again where the
        context is None; the config holds the true sizes."""
        processor = TextProcessor.train(values, config.context or MOST_CONTEXT, config.vocabulary, config.augmentation)
        if config.context is None:
            processor.cut_to_longest(values, shortest=4)
        sizes = {"vocabulary": processor.vocabulary, "context": processor.max_tokens}
        return cls(config.model_copy(update=sizes), processor, summary_only)

    @property
    def words(self) -> Tensor:
        """The embeddings of words, float32 [V, D], which a head that predicts words may share."""
        return self.embeddings.words.weight

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`tokens` int64, `mask` bool [B, L], the real ones first -> Features of T = L tokens (1 if summary_only)."""
        ids, mask = inputs["tokens"], inputs["mask"]
        packing = Packing.of(mask)
        x = self.embeddings(ids, packing)  # [N, D]
        x = run(self.blocks, x, packing, [], first=self.summary_only)
        if self.summary_only:
            return Features.one(packing.first(x.device)[0].pad(x)[:, 0], mask.any(dim=1))
        tokens = packing.pad(x)  # [B, L, D]
        return Features(tokens, mask, tokens[:, 0])
