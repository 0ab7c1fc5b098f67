"""ALBEF as a family that is pretrained: a picture and a text, aligned and then fused."""

import math
from typing import Any, Literal, NamedTuple

from pydantic import Field
from torch import nn

from sensorium.data.schema import Schema
from sensorium.errors import UserError, check_known
from sensorium.families import albef
from sensorium.families.family import SharedSettings, Tower, check_no_size, set_temperature
from sensorium.fusion.bert import BertFusion
from sensorium.heads.answer import Answer
from sensorium.heads.masked_words import MaskedWords
from sensorium.model import Model
from sensorium.objectives.momentum import Momentum, Queue

SIZE = "tiny"
TEMPERATURE, MOMENTUM, ALPHA = 0.07, 0.995, 0.4  # as published
RATE = {"tiny": 5e-4, "base": 1e-4}
CONTINUED_RATE = 1e-5
FIT_RATE = {"tiny": 5e-4, "base": 2e-5}  # of a fit to a target
FIT_CONTINUED_RATE = 1e-4
UNMATCHED = -(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3  # a third of the pairs that matching sees are matches


class Size(NamedTuple):
    """The settings of both encoders, the layers over both, the width of the shared space, and pairs in the queue."""

    image: dict[str, Any]
    text: dict[str, Any]
    fusion_layers: int
    dim: int
    queue: int


_VIT = {"pre_norm": False, "patch_bias": True, "eps": 1e-6}
SIZES = {
    "tiny": Size(
        _VIT | {"size": 64, "patch": 8, "width": 192, "depth": 4, "heads": 3},
        {"width": 128, "depth": 2, "heads": 2},
        fusion_layers=2,
        dim=128,
        queue=1024,
    ),
    # Li et al. 2021 (arXiv:2107.07651): ViT-B/16 at 256 pixels, and BERT-base, its upper half over both.
    "base": Size(
        _VIT | {"size": 256, "patch": 16, "width": 768, "depth": 12, "heads": 12},
        {"width": 768, "depth": 6, "heads": 12},
        fusion_layers=6,
        dim=256,
        queue=65_536,
    ),
}


class AlbefSettings(SharedSettings):
    """An ALBEF that is pretrained on a picture and a text: of what size, and how its teacher counts."""

    name: Literal["albef"] = Field(description="the family")
    size: str | None = Field(
        None, description="of the encoders that `inputs` does not name, and of the fusion: tiny or base; none: tiny"
    )
    temperature: float | None = Field(
        None, gt=0, le=1, description="at the start, it is learned; none: that of `start_from`, else 0.07"
    )
    queue: int | None = Field(
        None, ge=1, description="pairs of earlier steps that records are compared with too; none: that of the size"
    )
    momentum: float | None = Field(
        None, ge=0, lt=1, description="the share of itself that the teacher keeps at a step; none: 0.995"
    )
    alpha: float | None = Field(
        None, ge=0, le=1, description="the teacher's share of a target after the first epoch; none: 0.4"
    )


class AlbefFamily:
    """A picture and a text, aligned and then fused by BERT's upper layers."""

    Settings = AlbefSettings
    reads = "tokens"
    labels_are_texts = False
    fit_columns = ("image", "question", "answer")
    fit_options = (*fit_columns, "size")

    def towers(self, settings: AlbefSettings) -> dict[str, Tower]:
        """The encoders of the size; tokenizer and length of texts come from the records. Raises UserError."""
        size = _size(settings)
        return {"image": Tower("clip_image", size.image), "text": Tower("bert_text", size.text)}

    def build_model(self, settings: AlbefSettings, encoders: dict[str, nn.Module], schema: Schema) -> Model:
        """Encoders of any width, aligned and fused."""
        size = _size(settings)
        dim, temperature = settings.dim or size.dim, settings.temperature or TEMPERATURE
        return albef.around(encoders, size.fusion_layers, dim, temperature, schema)

    def rebuild_with_inputs(
        self, trained: Model, encoders: dict[str, nn.Module], sources: dict[str, str], schema: Schema
    ) -> Model:
        """The encoders with the projections, the fusion, the heads and the temperature that they had."""
        if not isinstance(trained.fusion, BertFusion) or set(trained.heads.names) != {"match", "words"}:
            raise UserError(
                "The model that --from names is no pre-trained ALBEF, whose heads are match and words; name one, or"
                " leave --from out."
            )
        # The fusion and the head of masked words name inputs, and so are built again under the new names.
        renamed = {source: name for name, source in sources.items()}
        query, context = renamed[trained.fusion.query], [renamed[name] for name in trained.fusion.context]
        fusion_config = trained.fusion.config.model_copy(update={"query": query, "context": context})
        fusion = BertFusion(fusion_config, {name: encoder.dim for name, encoder in encoders.items()})
        words = trained.heads["words"].config.model_copy(update={"tied": query})
        heads = {"match": trained.heads["match"], "words": MaskedWords(words, fusion.dim)}
        projections = {name: trained.projections[source] for name, source in sources.items()}
        model = Model(encoders, projections, fusion, heads, TEMPERATURE, schema)
        # Their weights are those of the trained model.
        fusion.load_state_dict(trained.fusion.state_dict())
        heads["words"].load_state_dict(trained.heads["words"].state_dict())
        model.logit_scale.data.copy_(trained.logit_scale.data)
        return model

    def continue_from(self, settings: AlbefSettings, trained: Model) -> AlbefSettings:
        """The settings; `trained` gets their temperature. Raises UserError when they ask for another size or space."""
        check_no_size(settings)
        set_temperature(settings, trained)
        return settings

    def pairs(self, settings: AlbefSettings, kinds: dict[str, str]) -> list[tuple[str, str]]:
        """The picture and the text. Raises UserError for other inputs, name → kind."""
        return [albef.sides(kinds)]

    def objectives(self, settings: AlbefSettings, model: Model, steps: int) -> list[nn.Module]:
        """The three losses, with a teacher whose share of their targets rises over the first epoch, and a queue."""
        momentum = MOMENTUM if settings.momentum is None else settings.momentum
        alpha = ALPHA if settings.alpha is None else settings.alpha
        _, text = albef.sides({name: encoder.modality for name, encoder in model.encoders.items()})
        queue = Queue(_queue_size(settings), model.projections[text].out_features)
        return albef.objectives(Momentum(model, momentum, alpha, steps), queue)

    def training_defaults(self, settings: AlbefSettings, continues: bool) -> dict[str, Any]:
        """A learning rate by size, the published one for the published size; a small one for a trained model. The
        fusion loses no input: a record that lacks one takes no part in matching."""
        rate = CONTINUED_RATE if continues else RATE.get(settings.size or SIZE, RATE[SIZE])
        return {"learning_rate": rate, "weight_decay": 0.02, "modality_dropout": 0.0}

    def fit_settings(
        self, *, image: str, question: str, answer: str, size: str | None, group: str | None, begin_with: Any
    ) -> dict[str, Any]:
        """ALBEF that answers (Li et al. 2021, arXiv:2107.07651): a picture and a text, fused by BERT's upper layers,
        and a decoder over what they give.

        image, question: columns. answer: the column of the target, or `COLUMN=KIND`. Raises UserError for an unknown
        size, or one beside a model to begin with.
        """
        target, _, kind = answer.partition("=")
        kind = kind or Answer.kind
        inputs = {"inputs": [image, question], "columns": {image: "image", question: "text"}}
        roles = {"query": question, "context": [image]}
        settings: dict[str, Any] = {"data": inputs | {"target": {target: kind}}}
        if begin_with is not None:
            if size is not None:
                raise UserError("The model that --from names has its size already; leave --size out, or --from.")
            head_config, fusion_config, rate = {}, {}, FIT_CONTINUED_RATE
            settings["begin_with"] = str(begin_with)
        else:
            name = size or SIZE
            shape, rate = _size_named(name), FIT_RATE[name]
            settings["inputs"] = {
                image: {"encoder": "clip_image", "config": dict(shape.image)},
                question: {"encoder": "bert_text", "config": dict(shape.text)},
            }
            head_config = {"layers": shape.fusion_layers, "heads": shape.text["heads"]}
            fusion_config = {"dim": shape.text["width"]} | head_config
        settings["fusion"] = {"name": "bert", "config": roles | fusion_config}
        if kind == Answer.kind:
            settings["targets"] = {target: {"head": "answer", "config": head_config}}
        settings["training"] = {"learning_rate": rate}
        if not group or group == image:
            # The questions about a picture stay on one side of a split, and share its encoding in a step.
            settings["data"]["group"], settings["training"]["sampling"] = image, "grouped"
            del settings["data"]["columns"][image]  # a group of pictures is an input as well, and needs no kind
        return settings

    def contrastive_loss(self, settings: AlbefSettings) -> None:
        """None: its alignment compares records with a queue as well, and it has two more losses."""
        return None

    def chance_sentences(self, settings: AlbefSettings, model: Model, batch_size: int) -> list[str]:
        """What each of the losses is for a model that knows nothing."""
        candidates, words = batch_size + _queue_size(settings), model.heads["words"].config.vocabulary
        return [
            f"Chance: who knows nothing has a loss of ln {candidates:,} = {math.log(candidates):.2f} in alignment once"
            f" the queue is full, of {UNMATCHED:.2f} in matching, and of ln {words:,} = {math.log(words):.2f} in masked"
            " words; below it something is learned."
        ]


def _size(settings: AlbefSettings) -> Size:
    return _size_named(settings.size or SIZE)


def _size_named(name: str) -> Size:
    check_known(SIZES, "size", name)
    return SIZES[name]


def _queue_size(settings: AlbefSettings) -> int:
    return settings.queue or _size(settings).queue
