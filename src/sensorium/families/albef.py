"""ALBEF: align, then fuse; pre-trained on pairs, or answering questions about pictures."""

from pydantic import BaseModel, Field
from torch import nn

from sensorium.data.schema import Schema
from sensorium.encoders.bert_text import BertText, BertTextConfig
from sensorium.encoders.clip_image import ClipImage, ClipImageConfig
from sensorium.encoders.image_processor import ImageProcessor
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError
from sensorium.families.clip import SCHEMA
from sensorium.families.family import picture_and_text
from sensorium.fusion.bert import BertFusion, BertFusionConfig
from sensorium.heads.answer import Answer, AnswerConfig
from sensorium.heads.masked_words import MaskedWords, MaskedWordsConfig
from sensorium.heads.match import Match, MatchConfig
from sensorium.model import Model
from sensorium.nn.projection import Projection
from sensorium.objectives.masked import Masked
from sensorium.objectives.matching import Matching
from sensorium.objectives.momentum import Momentum, Queue
from sensorium.objectives.momentum_contrastive import MomentumContrastive

MASKED = "text/masked"


class AlbefConfig(BaseModel, frozen=True, extra="forbid"):
    """A vision transformer with a class token, BERT's lower layers over the text, and its upper ones over both.

    fusion_layers: how many of BERT's layers ask the picture, beyond the text's own. dim: of the shared space.
    temperature: at the start. answer: the decoder of a model that answers questions; one without it is pre-trained."""

    image: ClipImageConfig
    text: BertTextConfig
    fusion_layers: int = Field(6, ge=1)
    dim: int = Field(256, ge=1)
    temperature: float = Field(0.07, gt=0)
    answer: AnswerConfig | None = None


def albef(config: AlbefConfig, tokenizer: TextProcessor | None = None, pictures: ImageProcessor | None = None) -> Model:
    """Align, then fuse (Li et al. 2021, arXiv:2107.07651): inputs `image` and `text`, with random weights. Heads
    `match` and `words`; or, of a model that answers, `answer` alone, and no shared space. Without `tokenizer` it takes
    token numbers only. Raises UserError when text layers and tokenizer do not fit."""
    encoders = {"image": ClipImage(config.image, pictures), "text": BertText(config.text, tokenizer)}
    if config.answer is None:
        return around(encoders, config.fusion_layers, config.dim, config.temperature, SCHEMA)
    heads = {"answer": Answer(config.answer, config.text.width)}
    return Model(encoders, fusion=_fusion(encoders, "text", config.fusion_layers), heads=heads, schema=SCHEMA)


def around(
    encoders: dict[str, nn.Module], fusion_layers: int, dim: int, temperature: float, schema: Schema | None
) -> Model:
    """An ALBEF that is pre-trained, around the encoders of one picture and one text (a BertText), by input name. Raises
    UserError for other inputs, or another encoder of text."""
    _, text = sides({name: encoder.modality for name, encoder in encoders.items()})
    lender = encoders[text]
    if not isinstance(lender, BertText):
        raise UserError(
            f"ALBEF fills in masked words by the words of the encoder bert_text, and that of '{text}' is another; leave"
            " it out."
        )
    words = MaskedWordsConfig(vocabulary=lender.config.vocabulary, tied=text, eps=lender.config.eps)
    projections = {name: Projection(encoder.dim, dim, bias=True) for name, encoder in encoders.items()}
    fusion = _fusion(encoders, text, fusion_layers)
    heads = {"match": Match(MatchConfig(), lender.dim), "words": MaskedWords(words, lender.dim)}
    return Model(encoders, projections, fusion, heads, temperature, schema)


def _fusion(encoders: dict[str, nn.Module], text: str, layers: int) -> BertFusion:
    """BERT's upper layers, in the shape of the lower ones of the input `text`."""
    lower = encoders[text].config
    shape = {"heads": lower.heads, "ratio": lower.ratio, "dropout": lower.dropout, "eps": lower.eps}
    dims = {name: encoder.dim for name, encoder in encoders.items()}
    return BertFusion(BertFusionConfig(query=text, dim=lower.width, layers=layers, **shape), dims)


def sides(kinds: dict[str, str]) -> tuple[str, str]:
    """The names of the picture and of the text among inputs, name → kind. Raises UserError for any other inputs."""
    return picture_and_text(kinds, "ALBEF")


def objectives(teacher: Momentum, queue: Queue) -> list[nn.Module]:
    """Alignment, matching, and masked words (of the view `masked` of the text) for the ALBEF that `teacher` follows."""
    image, text = sides({name: encoder.modality for name, encoder in teacher.model.encoders.items()})
    alignment, words = MomentumContrastive(image, text, teacher, queue), Masked("words", f"{text}/masked", teacher)
    return [alignment, Matching("match", image, text), words]
