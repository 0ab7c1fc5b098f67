"""A question about a picture, answered by a trained model: by ranking answers, or written word by word."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from sensorium.data.targets import TARGETS
from sensorium.data.targets.answer_text import normalise
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import RecordError, UserError
from sensorium.evaluation.templates import lines_of
from sensorium.features import Features
from sensorium.heads.answer import Answer, AnswerConfig
from sensorium.model import Model

By = Literal["ranking", "generation"]
WAYS = ("ranking", "generation")


class QuestionRoles(NamedTuple):
    """What of a model answers: the input that is the picture, the one that is the question, and the head."""

    picture: str
    question: str
    target: str


class RankedAnswers(NamedTuple):
    """Answers, the likeliest first, how likely each is, the first of them as the head's `loss` takes it, and how they
    were found.
    """

    answers: list[str]
    probabilities: list[float]
    decision: dict[str, Tensor]
    by: By


def question_roles(model: Model) -> QuestionRoles:
    """Raises UserError for a model that does not answer questions about a picture."""
    kinds = {name: encoder.modality for name, encoder in model.encoders.items()}
    pictures, texts = ([name for name in kinds if kinds[name] == kind] for kind in ("image", "text"))
    heads = [
        name for name, head in model.heads.items() if head.kind in TARGETS and TARGETS[head.kind].answers_questions
    ]
    if (len(pictures), len(texts), len(heads)) != (1, 1, 1):
        inputs = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        targets = ", ".join(f"{name} ({head.kind})" for name, head in model.heads.items()) or "none"
        raise UserError(
            f"A question about a picture needs a model with one picture, one text and one target that is an answer or a"
            f" class; this one has the inputs {inputs} and the targets {targets}; take sensorium predict."
        )
    return QuestionRoles(pictures[0], texts[0], heads[0])


@torch.no_grad()
def answer_question(
    model: Model,
    picture: Any,
    question: str,
    by: By | None = None,
    answers: Sequence[str] | None = None,
    beams: int = 3,
    top: int = 5,
) -> RankedAnswers:
    """The `top` likeliest answers to `question` about `picture` (a path, bytes or an array).

    by: "ranking" the answers that the model has learned, or "generation" word by word, by a search with so many
    `beams`; None for the first of the two that there is. answers: those to rank instead, as `read_answers` gives them.
    Raises UserError for what the user can mend.
    """
    roles = question_roles(model)
    record = {roles.picture: picture, roles.question: question}
    model.eval()
    try:
        batch = next(model.batches(model.read([record]), 1))
    except RecordError as error:
        raise UserError(f"The picture {error.value} cannot be used: {error.reason}; give another.") from error
    fused, head = model.fuse(model.encode(batch.inputs)), model.heads[roles.target]
    if answers is not None:
        return _rank_given(model, roles, head, fused, answers, top)
    if (by or _default_way(head)) == "ranking":
        return _rank_learned(model, roles, head, fused, top)
    if not isinstance(head, Answer):
        raise UserError(
            f"The head of '{roles.target}' chooses among answers and writes none; take --by ranking, or fit with"
            " the head answer, as --family albef does."
        )
    return _generate(model, roles, head, fused, beams, top)


def read_answers(answers: Sequence[str] | str | Path, by: By | None) -> list[str]:
    """The answers to rank, of a list or a file with one a line, in one spelling and each once.

    Raises UserError where there are none or none are ranked.
    """
    if by == "generation":
        raise UserError("--answers are there to be ranked; leave them out, or take --by ranking.")
    listed = lines_of(Path(answers), "an answer a line") if isinstance(answers, str | Path) else answers
    if not listed:
        raise UserError("The list of answers is empty; give at least one answer, or none to rank those learned.")
    return list(dict.fromkeys(normalise(str(answer)) for answer in listed))


def _default_way(head: nn.Module) -> By:
    return "generation" if isinstance(head, Answer) and not _has_list(head) else "ranking"


def _has_list(head: Answer) -> bool:
    """Whether the head has a list of answers to rank."""
    return getattr(head, "answers", None) is not None


def _rank_given(
    model: Model, roles: QuestionRoles, head: nn.Module, fused: Features, answers: Sequence[str], top: int
) -> RankedAnswers:
    """The likeliest of the answers that were given."""
    if not isinstance(head, Answer):
        raise UserError(
            f"The head of '{roles.target}' chooses among the answers that it has learned; leave --answers out, or fit"
            " with the head answer, as --family albef does."
        )
    processor = model.encoders[roles.question].processor
    padded = processor.pad([{"tokens": _tokens(answer, processor, head.config)} for answer in answers])
    tokens, real = (padded[name].to(fused.mask.device) for name in ("tokens", "mask"))  # [A, L]
    positions, likely = head.rank(fused, tokens, real, head.config.most)
    first = positions[:, :1]
    decision = {"tokens": tokens[first], "real": real[first], "weight": torch.ones_like(likely[:, :1])}
    best = [answers[position] for position in positions[0, :top].tolist()]
    return RankedAnswers(best, likely[0, :top].tolist(), decision, "ranking")


def _tokens(answer: str, processor: TextProcessor, config: AnswerConfig) -> Tensor:
    """The tokens of an answer, from `start` to `end`. Raises UserError for one that the model cannot read."""
    tokens, added = processor.encode(answer)
    words = tokens[~added]
    if (words == processor.unknown_token).all():
        raise UserError(f"The model knows no word of the answer '{answer}'; leave it out or spell it otherwise.")
    if len(words) > config.context - 2:
        raise UserError(
            f"The answer '{answer}' is {len(words)} tokens long, and the model writes at most {config.context - 2};"
            " shorten it."
        )
    return torch.cat([torch.tensor([config.start]), words, torch.tensor([config.end])])


def _rank_learned(model: Model, roles: QuestionRoles, head: nn.Module, fused: Features, top: int) -> RankedAnswers:
    """The likeliest of the answers that the model has learned."""
    if isinstance(head, Answer):
        if not _has_list(head):
            raise UserError(
                f"The head of '{roles.target}' has no list of answers to rank; give one as --answers answers.txt,"
                " or take --by generation."
            )
        positions, likely = head.rank(fused, head.answers, head.real, head.config.most)
    else:
        prediction = head.predict(fused)
        learned = prediction["probabilities"] if "probabilities" in prediction else head.probabilities(fused)  # [1, K]
        # A threshold, or a vote of equally many, may decide for another than the first of the likeliest.
        first = learned.scatter(1, prediction["decision"][:, None], torch.inf)
        positions = first.argsort(dim=1, descending=True)[:, : int((learned > 0).sum())]  # in a vote some have no voice
        likely = learned.gather(1, positions)
    decision = head.as_target({"decision": positions[:, 0]})
    labels = next(spec.labels for spec in model.schema.targets if spec.name == roles.target)
    best = [labels[position] for position in positions[0, :top].tolist()]
    return RankedAnswers(best, likely[0, :top].tolist(), decision, "ranking")


def _generate(model: Model, roles: QuestionRoles, head: Answer, fused: Features, beams: int, top: int) -> RankedAnswers:
    """The likeliest answers that beam search writes."""
    beam_result, processor = head.generate(fused, beams=beams), model.encoders[roles.question].processor
    decision = head.as_target({"decision": beam_result.tokens[:, 0]})
    count = int((beam_result.likely[0, :top] > -torch.inf).sum())
    marks = {head.config.start, head.config.end, head.config.pad}  # which not every tokenizer knows for marks
    best = [
        processor.spelled([token for token in tokens if token not in marks])
        for tokens in beam_result.tokens[0, :count].tolist()
    ]
    return RankedAnswers(best, beam_result.likely[0, :count].exp().tolist(), decision, "generation")
