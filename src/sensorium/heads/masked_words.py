"""Which word a masked position of the leading text had."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.features import Features
from sensorium.nn.post_norm import WordLogits, started


class MaskedWordsConfig(BaseModel, frozen=True, extra="forbid"):
    """vocabulary: how many words there are. tied: the input whose encoder lends its embeddings of words to this head as
    well, as in BERT; None for embeddings of the head. eps: of the LayerNorm.
    """

    vocabulary: int = Field(ge=2)
    tied: str | None = None
    eps: float = Field(1e-12, gt=0)


class MaskedWords(nn.Module):
    """BERT's decision on masked words (Devlin et al. 2018, arXiv:1810.04805), computed only at the positions that are
    asked for.

    With `tied` it has no embeddings until `tie` names the encoder that lends them; a Model does so.
    """

    Config = MaskedWordsConfig
    kind = "words"

    def __init__(self, config: MaskedWordsConfig, dim: int):
        super().__init__()
        self.config = config
        self.network = WordLogits(dim, config.vocabulary, config.eps)
        self.embedding = started(nn.Embedding(config.vocabulary, dim)) if config.tied is None else None
        self.tied = config.tied
        self._lender: tuple[nn.Module, ...] = ()  # in a tuple, so that it is not registered as a submodule

    def tie(self, encoder: nn.Module) -> None:
        """Uses `encoder.words`, float [V, D], as the embeddings."""
        self._lender = (encoder,)

    def logits(self, fused: Features, masked: Tensor) -> Tensor:
        """float32 [M, V]: the logits of each word at each of the M positions where `masked`, bool [B, T], is True."""
        words = self.embedding.weight if self.embedding is not None else self._lender[0].words
        return self.network(fused.tokens[masked], words).float()

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: of `labels`, int64 [B, T], negative where no word is asked for, each row's sum of
        cross-entropies.
        """
        labels = target["labels"]
        masked = labels >= 0
        losses = F.cross_entropy(self.logits(fused, masked), labels[masked], reduction="none")  # [M]
        return losses.new_zeros(len(labels)).index_add(0, masked.nonzero()[:, 0], losses)

    def predict(self, fused: Features) -> dict[str, Tensor]:
        """`decision` int64 [B, T]: the likeliest word at each position, -1 where there is no token."""
        decision = torch.full(fused.mask.shape, -1, device=fused.mask.device)
        decision[fused.mask] = self.logits(fused, fused.mask).argmax(dim=1)
        return {"decision": decision}
