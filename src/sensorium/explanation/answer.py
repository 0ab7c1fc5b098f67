"""answer: a question about a picture, answered, and which places of the picture the answer comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sensorium.console import Console
from sensorium.data.media.decoding import decode
from sensorium.errors import UserError
from sensorium.evaluation.inputs import format_number
from sensorium.explanation.drawing import check_format, describe_heat, draw
from sensorium.explanation.grad_cam import explain as explain_decision
from sensorium.inference.answer import WAYS, By, RankedAnswers, answer_question, question_roles, read_answers
from sensorium.model import HasModel, Model, model_of
from sensorium.nn.torch_state import usual_torch


@usual_torch()
def answer(
    run: HasModel | Model | str | Path,
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
    listed = None if answers is None else read_answers(answers, by)
    model = model_of(run)
    ranked = answer_question(model, picture, question, by, listed, beams, top)
    first, *following = (
        {"answer": text, "probability": probability}
        for text, probability in zip(ranked.answers, ranked.probabilities, strict=True)
    )
    result = first | {"next": following, "by": ranked.by}
    result["explanation"] = None if explain is None else _explain(model, picture, question, ranked, Path(explain))
    _print_answer(result, Console(quiet))
    return result


def _explain(model: Model, picture: Any, question: str, ranked: RankedAnswers, out: Path) -> dict[str, Any]:
    """Draws the heat map of the answer to `out`, and gives it as plain values."""
    roles = question_roles(model)
    record = {roles.picture: picture, roles.question: question}
    explanation = explain_decision(model, record, roles.target, ranked.decision)
    table = model.read([record])
    spec = next(spec for spec in model.schema.inputs if spec.name == roles.picture)
    pixels = decode(spec.decoder, table.value(0, spec), table.root)
    draw(explanation, pixels, f"{ranked.answers[0]} ({format_number(ranked.probabilities[0])})", out)
    words = zip(explanation.words, explanation.maps.tolist(), strict=True)
    return {
        "file": str(out),
        "words": [{"word": word, "heat": heat} for word, heat in words],
        "said": describe_heat(explanation),
    }


def _print_answer(result: dict[str, Any], console: Console) -> None:
    console.print(f"{result['answer']} ({format_number(result['probability'])})")
    if result["next"]:
        following = ", ".join(f"{each['answer']} {format_number(each['probability'])}" for each in result["next"])
        console.print(f"Next: {following}.")
    if result["explanation"] is not None:
        console.print("Where each word looks for that answer:")
        for sentence in result["explanation"]["said"]:
            console.print(f"  {sentence}")
        console.print(f"Drawn in {result['explanation']['file']}.")
