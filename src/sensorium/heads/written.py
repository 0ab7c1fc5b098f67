"""What heads that write a text share: the loss of texts, what they predict and how it is decoded."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, PreTrainedModel

from sensorium.data.targets.tokens import Tokens
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.generation.autoregressive import Decoder, Stream, generate
from sensorium.generation.rules import Rule
from sensorium.generation.settings import Generation
from sensorium.nn.hub import load

GREEDY = Generation()


def text_loss(
    logits_of: Callable[[Tensor, Tensor, Tensor], Tensor],
    target: dict[str, Tensor],
    smoothing: float,
    shares: Tensor | None = None,
) -> Tensor:
    """float32 [B]: the mean cross-entropy of a text's tokens, its end among them, averaged over the texts of a row by
    `weight`.

    target: as `texts_of` takes it. logits_of: of N texts their rows, int64 [N], their tokens, int64 [N, L], and which
    are real, bool [N, L] -> float [M, V], the logits of the M real tokens. smoothing: of the labels. shares: float
    [V, V], of each token the probabilities that are right in its place; None: its own alone.
    """
    row, tokens, real, weight = texts_of(target)
    logits = logits_of(row, tokens, real)
    truth = tokens[real] if shares is None else shares[tokens[real]]
    losses = F.cross_entropy(logits, truth, reduction="none", label_smoothing=smoothing)  # [M]
    text = real.nonzero()[:, 0]
    weight = weight / real.sum(dim=1)
    return losses.new_zeros(len(target["tokens"])).index_add(0, row[text], losses * weight[text])


def texts_of(target: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The N texts of a batch: the row of each, int64 [N], its tokens, int64 [N, L], which of these are real, bool
    [N, L], and its weight, float [N].

    target: `tokens` int64 [B, A, L], the texts' own tokens and their ends; `real` bool [B, A, L]; `weight` float
    [B, A]. Where there is no text at all, one of weight zero stands for them, since every process has to enter the same
    modules.
    """
    real, weight = target["real"], target["weight"]
    if not real.any():
        real, weight = real.clone(), torch.zeros_like(weight)
        real[0, 0, 0] = True
    row, column = real.any(dim=2).nonzero().unbind(1)
    return row, target["tokens"][row, column], real[row, column], weight[row, column]


def predict_text(
    decoder: Decoder,
    processor: Tokens,
    fused: Features,
    generation: Generation = GREEDY,
    keys: Sequence[str] = (),
    stream: Stream | None = None,
    prompt: Tensor | None = None,
    rules: Sequence[Rule] = (),
) -> dict[str, Tensor]:
    """The n texts of each row, best first: `tokens` int64 [B, n, L], then pad; `logprobs` float32 [B, n, L] of each;
    `probability` float32 [B, n] of each text; `finished` bool [B, n], False where it was cut.
    """

    def spell(tokens: list[int]) -> str:
        return processor.tokenizer.decode(tokens)  # with the spaces at its ends, which a stop text may have

    written = generate(decoder, fused, generation.as_tokens(processor), keys, spell, stream, prompt, rules)
    return {
        "tokens": written.tokens,
        "logprobs": written.logprobs,
        "probability": written.logprob.exp(),
        "finished": written.finished,
    }


def decode_text(prediction: dict[str, Tensor], processor: Tokens) -> list[dict[str, Any]]:
    """A row's best text as `decision` and its `probability`; where several were asked for, `alternatives` has them."""
    rows = []
    for texts, probabilities in zip(prediction["tokens"].tolist(), prediction["probability"].tolist(), strict=True):
        ranked = [
            {"text": processor.spell([token for token in text if token != processor.pad]), "probability": probability}
            for text, probability in zip(texts, probabilities, strict=True)
        ]
        row = {"decision": ranked[0]["text"], "probability": ranked[0]["probability"]}
        rows.append(row | ({"alternatives": ranked} if len(ranked) > 1 else {}))
    return rows


def attended(fused: Features, projector: nn.Module) -> tuple[Tensor, Tensor]:
    """What a published decoder attends to: what `projector` makes of the fused tokens, float [B, S, D], zero where
    nothing is real; and bool [B, S], which of them count, in a row without any input the first alone.
    """
    real = fused.mask[..., None]
    first = torch.arange(fused.mask.shape[1], device=fused.mask.device) == 0
    mask = fused.mask | (~fused.present[:, None] & first)
    return torch.where(real, projector(torch.where(real, fused.tokens, 0.0)), 0.0), mask


def shifted(tokens: Tensor, start: int) -> Tensor:
    """int64 [N, L] -> the same with `start` first and without the last: what is read before each token."""
    return F.pad(tokens[:, :-1], (1, 0), value=start)


def read_architecture(config: Any, what: str) -> Any:
    """The Transformers configuration of a head's config, from its source where it is not in there yet."""
    known = config.architecture
    return load(AutoConfig, config.model, what) if known is None else AutoConfig.for_model(**known)


def sequence_fusion(config: dict[str, Any], what: str) -> tuple[str, dict[str, Any]]:
    """The fusion that suits a published decoder, by name, with its settings: the tokens of all inputs, as wide as the
    decoder's. config: of the head, as a recipe has it.
    """
    if "model" not in config:
        return "sequence", {}
    return "sequence", {"dim": load(AutoConfig, config["model"], what).get_text_config().hidden_size}


def tie_words(head: Any, encoder: nn.Module) -> None:
    """Gives the decoder of `head` the embeddings of words of `encoder`, which are then stored with it. Raises UserError
    when they are not of the decoder's size.
    """
    lent, words = encoder.words.weight, head.body.get_input_embeddings().weight
    if lent.shape != words.shape:
        raise UserError(f"The words of '{head.tied}' are not those of {head.config.model}; give both the same model.")
    for module in head.body.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight is words:
                setattr(module, name, lent)
    head.lent = [lent]


def without_encoder(model: PreTrainedModel) -> PreTrainedModel:
    """The model without the weights of its encoder, whose place the fused tokens take."""
    encoder = model.get_encoder()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if child is encoder:
                setattr(module, name, None)
    return model
