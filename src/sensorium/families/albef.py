"""ALBEF: align, then fuse; pre-trained on pairs, or answering questions about pictures."""

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from sensorium.data.schema import Column, Schema, arrange
from sensorium.encoders.bert_text import BertText, BertTextConfig
from sensorium.encoders.clip_image import ClipImage, ClipImageConfig
from sensorium.encoders.image_processor import ImageProcessor
from sensorium.encoders.text_processor import TextProcessor
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


class AlbefConfig(BaseModel):
    """A vision transformer with a class token, BERT's lower layers over the text, and its upper ones over both.

    fusion_layers: how many of BERT's layers ask the picture, beyond the text's own. dim: of the shared space.
    temperature: at the start. answer: the decoder of a model that answers questions; one without it is pre-trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: ClipImageConfig
    text: BertTextConfig
    fusion_layers: int = Field(6, ge=1)
    dim: int = Field(256, ge=1)
    temperature: float = Field(0.07, gt=0)
    answer: AnswerConfig | None = None


def albef(config: AlbefConfig, tokenizer: TextProcessor | None = None, pictures: ImageProcessor | None = None) -> Model:
    """Align, then fuse (Li et al. 2021, arXiv:2107.07651): inputs `image` and `text`, with random weights.

    Heads `match` and `words`; or, of a model that answers, `answer` alone, and no shared space. Without `tokenizer` it
    takes token numbers only. Raises UserError when text layers and tokenizer do not fit.
    """
    image, text = config.image, config.text
    encoders = {"image": ClipImage(image, pictures), "text": BertText(text, tokenizer)}
    shape = {"heads": text.heads, "ratio": text.ratio, "dropout": text.dropout, "eps": text.eps}
    fusion = BertFusion(
        BertFusionConfig(query="text", dim=text.width, layers=config.fusion_layers, **shape),
        {"image": image.width, "text": text.width},
    )
    if config.answer is not None:
        return Model(encoders, fusion=fusion, heads={"answer": Answer(config.answer, text.width)}, schema=SCHEMA)
    words = MaskedWordsConfig(vocabulary=encoders["text"].config.vocabulary, tied="text", eps=text.eps)
    return Model(
        encoders=encoders,
        projections={
            "image": Projection(image.width, config.dim, bias=True),
            "text": Projection(text.width, config.dim, bias=True),
        },
        fusion=fusion,
        heads={"match": Match(MatchConfig(), text.width), "words": MaskedWords(words, text.width)},
        temperature=config.temperature,
        schema=SCHEMA,
    )


def objectives(teacher: Momentum, queue: Queue) -> list[nn.Module]:
    """What an ALBEF is pre-trained by: alignment, matching, masked words (of the view `text/masked`)."""
    return [
        MomentumContrastive("image", "text", teacher, queue),
        Matching("match", "image", "text"),
        Masked("words", MASKED, teacher),
    ]


_COLUMNS = [Column(name=name, kind=name, reason="what the model was trained on") for name in ("image", "text")]
SCHEMA = Schema(columns=_COLUMNS, inputs=arrange(_COLUMNS))
