"""Which word stands in a place of the leading text."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.features import Features
from sensorium.nn.post_norm import WordLogits, started


class MaskedWordsConfig(BaseModel, frozen=True, extra="forbid"):
    """vocabulary: words known. tied: the input whose encoder's embeddings of words are used here as well, as BERT does;
    None for some of its own. eps: of the LayerNorm.
    """

    vocabulary: int = Field(ge=2)
    tied: str | None = None
    eps: float = Field(1e-12, gt=0)


class MaskedWords(nn.Module):
    """BERT's decision on masked words (Devlin et al. 2018, arXiv:1810.04805), made in the places that are asked for
    alone.

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
        self._lender: tuple[nn.Module, ...] = ()  # in a tuple, for it is no part of this module

    def tie(self, encoder: nn.Module) -> None:
        """From now on `encoder.words`, float [V, D], are the embeddings."""
        self._lender = (encoder,)

    def logits(self, fused: Features, places: Tensor) -> Tensor:
        """float32 [M, V]: how likely each word is in each of the M places of `places`, bool [B, T]."""
        words = self.embedding.weight if self.embedding is not None else self._lender[0].words
        return self.network(fused.tokens[places], words).float()

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: of `labels`, int64 [B, T], negative where no word is asked for, each row's sum of
        cross-entropies.
        """
        labels = target["labels"]
        places = labels >= 0
        losses = F.cross_entropy(self.logits(fused, places), labels[places], reduction="none")  # [M]
        return losses.new_zeros(len(labels)).index_add(0, places.nonzero()[:, 0], losses)

    def predict(self, fused: Features) -> dict[str, Tensor]:
        """`decision` int64 [B, T]: the likeliest word in each place, -1 where there is none."""
        decision = torch.full(fused.mask.shape, -1, device=fused.mask.device)
        decision[fused.mask] = self.logits(fused, fused.mask).argmax(dim=1)
        return {"decision": decision}
