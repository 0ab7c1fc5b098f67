"""A question about a picture, answered by a trained model; and which places of the picture the answer comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from sensorium.console import Console
from sensorium.data.media.decoding import decode
from sensorium.data.targets.answer_text import normalise
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import RecordError, UserError
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.templates import lines_of
from sensorium.explanation.drawing import check_format, draw, said
from sensorium.explanation.grad_cam import as_target
from sensorium.explanation.grad_cam import explain as explained_by
from sensorium.features import Features
from sensorium.heads.answer import Answer, AnswerConfig
from sensorium.model import Model, load

By = Literal["ranking", "generation"]
WAYS = ("ranking", "generation")


class Asked(NamedTuple):
    """What of a model answers: the input that is the picture, the one that is the question, and the head."""

    picture: str
    question: str
    target: str


class Answered(NamedTuple):
    """Answers, the likeliest first, how likely each is, and the first of them as the head's `loss` takes it."""

    answers: list[str]
    probabilities: list[float]
    decision: dict[str, Tensor]


def answer(
    run: str | Path | Model,
    picture: Any,
    question: str,
    *,
    by: By | None = None,
    answers: Sequence[str] | str | Path | None = None,
    beams: int = 3,
    top: int = 5,
    explain: str | Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Answers `question` about `picture` (a path, bytes or an array) with a model or a run's folder.

    The model has one picture and one text among its inputs, and a head of classes or of answers. by: "ranking" the
    answers that it has learned, or "generation" word by word, by a search with so many `beams`, which a head `answer`
    alone can; None for the first of the two that there is. answers: those to rank instead of the learned ones, or a
    file with one a line, for a head `answer` alone; they are brought to the spelling of VQA's evaluation, and equal
    ones count once. top: how many answers to give, at most.
    explain: a file (.png, .jpg, .webp) for the heat map of each word over the picture.
    Prints the answer unless `quiet`. Returns {"answer", "probability", "next": [{"answer", "probability"}], "by",
    "explanation": {"file", "words": [{"word", "heat": h lists of w numbers}], "said"} or None}. Raises UserError for
    what the user can mend.
    """
    if by not in (None, *WAYS):
        raise UserError(f"--by {by} is no way to answer; take ranking or generation.")
    if min(beams, top) < 1:
        raise UserError(f"--beams {beams} and --top {top} have to be at least 1; raise the smaller one.")
    if not question.strip():
        raise UserError("The question is empty; ask something about the picture.")
    if explain is not None:
        check_format(explain)
    given = None if answers is None else _given(answers, by)
    console, model = Console(quiet), run if isinstance(run, Model) else load(run)
    asked = _asked(model)
    record = {asked.picture: picture, asked.question: question}
    try:
        found = _answered(model, asked, record, given, by, beams, top)
    except RecordError as error:
        raise UserError(f"The picture {error.value} cannot be used: {error.reason}; give another.") from error
    first, *others = (
        {"answer": one, "probability": likely} for one, likely in zip(found.answers, found.probabilities, strict=True)
    )
    done = first | {"next": others, "by": by or ("ranking" if given else _usual(model.heads[asked.target]))}
    done["explanation"] = None if explain is None else _explained(model, asked, record, found, Path(explain))
    _say(done, console)
    return done


def _given(answers: Sequence[str] | str | Path, by: By | None) -> list[str]:
    """The answers to rank, in one spelling and each once. Raises UserError where there are none or none are ranked."""
    if by == "generation":
        raise UserError("--answers are there to be ranked; leave them out, or take --by ranking.")
    listed = lines_of(Path(answers), "an answer a line") if isinstance(answers, str | Path) else answers
    if not listed:
        raise UserError("The list of answers is empty; give at least one answer, or none to rank those learned.")
    return list(dict.fromkeys(normalise(str(one)) for one in listed))


def _asked(model: Model) -> Asked:
    """Raises UserError for a model that does not answer questions about a picture."""
    kinds = {name: encoder.modality for name, encoder in model.encoders.items()}
    pictures, texts = ([name for name in kinds if kinds[name] == kind] for kind in ("image", "text"))
    heads = [name for name, head in model.heads.items() if head.kind in ("class", "answer")]
    if (len(pictures), len(texts), len(heads)) != (1, 1, 1):
        inputs = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        targets = ", ".join(f"{name} ({head.kind})" for name, head in model.heads.items()) or "none"
        raise UserError(
            f"A question about a picture needs a model with one picture, one text and one target that is an answer or a"
            f" class; this one has the inputs {inputs} and the targets {targets}; take sensorium predict."
        )
    return Asked(pictures[0], texts[0], heads[0])


def _usual(head: nn.Module) -> By:
    return "generation" if isinstance(head, Answer) and not _listed(head) else "ranking"


def _listed(head: Answer) -> bool:
    """Whether the head has a list of answers to rank."""
    return getattr(head, "answers", None) is not None


@torch.no_grad()
def _answered(
    model: Model,
    asked: Asked,
    record: dict[str, Any],
    given: list[str] | None,
    by: By | None,
    beams: int,
    top: int,
) -> Answered:
    model.eval()
    batch = next(model.batches(model.read([record]), 1))
    fused, head = model.fuse(model.encode(batch.inputs)), model.heads[asked.target]
    if given is not None:
        return _chosen(model, asked, head, fused, given, top)
    if (by or _usual(head)) == "generation":
        if not isinstance(head, Answer):
            raise UserError(
                f"The head of '{asked.target}' chooses among answers and writes none; take --by ranking, or fit with"
                " the head answer, as --family albef does."
            )
        return _generated(model, asked, head, fused, beams, top)
    return _ranked(model, asked, head, fused, top)


def _chosen(model: Model, asked: Asked, head: nn.Module, fused: Features, given: list[str], top: int) -> Answered:
    """The likeliest of the answers that were given."""
    if not isinstance(head, Answer):
        raise UserError(
            f"The head of '{asked.target}' chooses among the answers that it has learned; leave --answers out, or fit"
            " with the head answer, as --family albef does."
        )
    processor = model.encoders[asked.question].processor
    padded = processor.pad([{"tokens": _tokens(one, processor, head.config)} for one in given])
    tokens, real = (padded[name].to(fused.mask.device) for name in ("tokens", "mask"))  # [A, L]
    places, likely = head.rank(fused, tokens, real, head.config.most)
    first = places[:, :1]
    decision = {"tokens": tokens[first], "real": real[first], "weight": torch.ones_like(likely[:, :1])}
    return Answered([given[place] for place in places[0, :top].tolist()], likely[0, :top].tolist(), decision)


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


def _ranked(model: Model, asked: Asked, head: nn.Module, fused: Features, top: int) -> Answered:
    """The likeliest of the answers that the model knows."""
    if isinstance(head, Answer):
        if not _listed(head):
            raise UserError(
                f"The head of '{asked.target}' has no list of answers to rank; give one as --answers answers.txt,"
                " or take --by generation."
            )
        places, likely = head.rank(fused, head.answers, head.real, head.config.most)
    else:
        found = head.predict(fused)
        known = found["probabilities"] if "probabilities" in found else head.probabilities(fused)  # [1, K]
        # A threshold, or a vote of equally many, may decide for another than the first of the likeliest.
        places = known.scatter(1, found["decision"][:, None], torch.inf).argsort(dim=1, descending=True)
        places = places[:, : int((known > 0).sum())]  # in a vote the others have no voice
        likely = known.gather(1, places)
    decision = as_target({"decision": places[:, 0]}, head.kind)
    labels = next(spec.labels for spec in model.schema.targets if spec.name == asked.target)
    answers = [labels[place] for place in places[0, :top].tolist()]
    return Answered(answers, likely[0, :top].tolist(), decision)


def _generated(model: Model, asked: Asked, head: Answer, fused: Features, beams: int, top: int) -> Answered:
    """The likeliest answers that beam search writes."""
    found, spelled = head.generate(fused, beams=beams), model.encoders[asked.question].processor.spelled
    decision = as_target({"decision": found.tokens[:, 0]}, head.kind, head.config.pad)
    real = int((found.likely[0, :top] > -torch.inf).sum())
    marks = {head.config.start, head.config.end, head.config.pad}  # which not every tokenizer knows for marks
    answers = [spelled([one for one in tokens if one not in marks]) for tokens in found.tokens[0, :real].tolist()]
    return Answered(answers, found.likely[0, :real].exp().tolist(), decision)


def _explained(model: Model, asked: Asked, record: dict[str, Any], found: Answered, out: Path) -> dict[str, Any]:
    """Draws the heat map of the answer to `out`, and gives it as plain values."""
    explanation = explained_by(model, record, asked.target, found.decision)
    table = model.read([record])
    spec = next(one for one in model.schema.inputs if one.name == asked.picture)
    photo = decode(spec.decoder, table.value(0, spec), table.root)
    draw(explanation, photo, f"{found.answers[0]} ({format_number(found.probabilities[0])})", out)
    words = zip(explanation.words, explanation.maps.tolist(), strict=True)
    return {
        "file": str(out),
        "words": [{"word": word, "heat": heat} for word, heat in words],
        "said": said(explanation),
    }


def _say(done: dict[str, Any], console: Console) -> None:
    console.print(f"{done['answer']} ({format_number(done['probability'])})")
    if done["next"]:
        following = ", ".join(f"{one['answer']} {format_number(one['probability'])}" for one in done["next"])
        console.print(f"Next: {following}.")
    if done["explanation"] is not None:
        console.print("Where each word looks for that answer:")
        for sentence in done["explanation"]["said"]:
            console.print(f"  {sentence}")
        console.print(f"Drawn in {done['explanation']['file']}.")
