"""Learning which token of a text each token of a sound says, beside the text that is written of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.features import Batch, Loss
from sensorium.generation.ctc import frames_needed
from sensorium.heads.writer import Writer
from sensorium.heads.written import texts_of
from sensorium.model import Model
from sensorium.objectives.step import Step

LARGEST = 2048  # tokens of a vocabulary: with more of them what all frames say takes gigabytes


class AlignedText(nn.Module):
    """Connectionist temporal classification of the fused tokens of a sound (Graves et al. 2006,
    doi:10.1145/1143844.1143891) beside a decoder that writes its text (Kim et al. 2017, arXiv:1609.06773; Watanabe et
    al. 2017, doi:10.1109/JSTSP.2017.2763455).

    A decoder alone has to find out what is said where before it can learn what it sounds like; this loss says it to the
    tokens that the decoder reads. What is written does not use it: the layer stays in the objective. A text that has
    more tokens than its sound counts with a loss of zero.
    head: a Writer, whose config says how much the loss counts beside its own. weight: of both.
    """

    reads = "fused"

    def __init__(self, model: Model, head: str, sound: str, weight: float = 1.0):
        super().__init__()
        self.head, self.sound, self.loss_name = head, sound, f"{head}/aligned"
        self.weights = {self.loss_name: weight * model.heads[head].config.aligned}
        processor = model.heads[head].processor
        self.blank = processor.pad
        self.labels = nn.Linear(model.fusion.dim, processor.vocabulary)

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over the rows that have the sound and a text."""
        heard = step.fused_tokens(self.sound)
        row, tokens, real, weight = texts_of(step.batch.targets[self.head])
        logprobs = self.labels(heard.tokens[row]).float().log_softmax(dim=2)  # [N, T, V]
        counts, lengths = real.sum(dim=1), heard.mask.sum(dim=1)[row]
        losses = F.ctc_loss(
            logprobs.transpose(0, 1), tokens, lengths.clamp(min=1), counts - 1, self.blank, reduction="none",
            zero_infinity=True,
        )  # fmt: skip
        losses = torch.where(frames_needed(tokens, counts - 1) <= lengths, losses, 0.0) / counts * weight
        loss = losses.new_zeros(len(heard.mask)).index_add(0, row, losses)
        counted = self._counted(step.batch)
        return {self.loss_name: Loss(torch.where(counted, loss, 0.0).sum(), counted.sum())}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.loss_name: self._counted(batch).sum()}

    def _counted(self, batch: Batch) -> Tensor:
        return batch.targets[self.head]["mask"] & batch.present(self.sound)


def transcribed_sound(model: Model, head: str) -> str | None:
    """The sound that `head` writes a text of; None where it writes none or shall not learn so, more is read than that
    sound, its vocabulary is large, or the fusion does not keep the sound's tokens.
    """
    names = model.encoders.names
    alone = len(names) == 1 and model.encoders[names[0]].modality == "audio"
    writer = model.heads[head]
    learns = isinstance(writer, Writer) and writer.config.aligned and writer.processor.vocabulary <= LARGEST
    return names[0] if alone and learns and hasattr(model.fusion, "token_order") else None
