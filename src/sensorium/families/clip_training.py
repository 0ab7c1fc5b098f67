"""CLIP as a family that is pretrained: any named inputs, aligned two by two by a contrastive loss."""

from itertools import combinations
from typing import Any, Literal

from pydantic import Field
from torch import nn

from sensorium.data.schema import Schema
from sensorium.errors import UserError, check_known
from sensorium.families.clip import preset
from sensorium.families.family import ProjectionSettings, SharedSettings, Tower, check_no_size, set_temperature
from sensorium.model import Model
from sensorium.nn.projection import Projection
from sensorium.objectives.contrastive import Contrastive

SIZE = "tiny"
# Published rates; on 600 emoji from scratch the tiny size finds more at 5e-4 than at 3e-4 and at 1e-3.
RATE = {"tiny": 5e-4, "ViT-B-32": 5e-4, "ViT-B-16": 5e-4, "ViT-L-14": 4e-4}
CONTINUED_RATE = 5e-5
# Where the two losses start: Radford et al. 2021 (arXiv:2103.00020) and Zhai et al. 2023 (arXiv:2303.15343).
TEMPERATURE = {"softmax": 0.07, "sigmoid": 0.1}
LOGIT_BIAS = {"softmax": None, "sigmoid": -10.0}


class ClipSettings(SharedSettings):
    """A CLIP or SigLIP that is pretrained: of what size, and which inputs of a record belong together."""

    name: Literal["clip"] = Field(description="the family")
    size: str | None = Field(
        None, description="of the encoders that `inputs` does not name: tiny, ViT-B-32, ViT-B-16, ViT-L-14; none: tiny"
    )
    pairs: list[tuple[str, str]] = Field(
        [], description="which two inputs are aligned, as [[photo, caption], [voice, caption]]; empty: every two"
    )
    loss: Literal["softmax", "sigmoid"] | None = Field(
        None, description="softmax (CLIP) or sigmoid (SigLIP); none: that of `start_from`, else softmax"
    )
    temperature: float | None = Field(
        None,
        gt=0,
        le=1,
        description="at the start, it is learned; none: that of `start_from`, else 0.07 (sigmoid: 0.1)",
    )
    projections: dict[str, ProjectionSettings] = Field(
        {}, description="by input, how its summary comes into the shared space where that is more than a linear map"
    )
    labels: str | None = Field(None, description="column of classes: records of one class belong together as well")


class ClipFamily:
    """Two or more towers of any kind, each with a projection into the shared space."""

    Settings = ClipSettings
    reads = "pooled"
    labels_are_texts = False

    def towers(self, settings: ClipSettings) -> dict[str, Tower]:
        """The towers of the size; the tiny one takes the length of texts from the records. Raises UserError."""
        config = preset(settings.size or SIZE)
        image, text = (tower.model_dump(exclude_unset=True) for tower in (config.image, config.text))
        text.pop("end_token", None)  # that of the tokenizer, which is learned from the records
        if settings.size in (None, SIZE):
            text["context"] = None
        return {"image": Tower("clip_image", image), "text": Tower("clip_text", text)}

    def build_model(self, settings: ClipSettings, encoders: dict[str, nn.Module], schema: Schema) -> Model:
        """Towers of any kind and width, each with a projection into the shared space."""
        dim, loss = settings.dim or preset(settings.size or SIZE).dim, settings.loss or "softmax"
        projections = {
            name: Projection(encoder.dim, dim, **settings.projections.get(name, ProjectionSettings()).model_dump())
            for name, encoder in encoders.items()
        }
        temperature = settings.temperature or TEMPERATURE[loss]
        return Model(encoders, projections, temperature=temperature, logit_bias=LOGIT_BIAS[loss], schema=schema)

    def rebuild_with_inputs(
        self, trained: Model, encoders: dict[str, nn.Module], sources: dict[str, str], schema: Schema
    ) -> Model:
        """The encoders with the projections and the temperature that they had."""
        old = trained.projections
        projections = {name: old[source] for name, source in sources.items() if source in old}
        model = Model(encoders, projections, schema=schema)
        for name in ("logit_scale", "logit_bias"):
            if hasattr(trained, name):
                model.register_parameter(name, nn.Parameter(getattr(trained, name).detach().clone()))
        return model

    def continue_from(self, settings: ClipSettings, trained: Model) -> ClipSettings:
        """The settings with the loss that `trained` learned by; it gets the temperature that they state. Raises
        UserError when they ask for another size, space or loss than it has."""
        check_no_size(settings)
        if settings.projections:
            raise UserError("The model that --from names has its projections already; leave them out, or --from.")
        set_temperature(settings, trained)
        trained_loss = _loss_of(trained)
        if settings.loss not in (None, trained_loss):
            raise UserError(
                f"The model that --from names learned by the {trained_loss} loss, and its temperature fits no other;"
                " leave --loss out."
            )
        return settings.model_copy(update={"loss": trained_loss})

    def pairs(self, settings: ClipSettings, kinds: dict[str, str]) -> list[tuple[str, str]]:
        """The pairs of the settings, or every two of the inputs `kinds`. Raises UserError for one that cannot be."""
        names = list(kinds)
        for name in [*settings.projections, *(name for pair in settings.pairs for name in pair)]:
            check_known(names, "input", name)
        for a, b in settings.pairs:
            if a == b:
                raise UserError(f"'{a}' cannot be aligned with itself; name two inputs.")
        pairs = list(dict.fromkeys(settings.pairs)) or list(combinations(names, 2))
        unpaired = [name for name in names if not any(name in pair for pair in pairs)]
        if unpaired:
            raise UserError(f"The input '{unpaired[0]}' is in no pair; align it with another, or leave it out.")
        return pairs

    def objectives(self, settings: ClipSettings, model: Model, steps: int) -> list[nn.Module]:
        """A contrastive loss for each pair, the one that the model has the parameters of."""
        kinds = {name: encoder.modality for name, encoder in model.encoders.items()}
        return [Contrastive(a, b, _loss_of(model), labels=settings.labels) for a, b in self.pairs(settings, kinds)]

    def training_defaults(self, settings: ClipSettings, continues: bool) -> dict[str, Any]:
        """A learning rate by size, the published one for published sizes; a small one for a trained model."""
        rate = CONTINUED_RATE if continues else RATE.get(settings.size or SIZE, RATE[SIZE])
        return {"learning_rate": rate, "weight_decay": 0.1}

    def contrastive_loss(self, settings: ClipSettings) -> Literal["softmax", "sigmoid"]:
        """The settings' loss."""
        return settings.loss or "softmax"

    def chance_sentences(self, settings: ClipSettings, model: Model, batch_size: int) -> list[str]:
        """None: what its loss is at chance depends on the records, and is printed with them."""
        return []


def _loss_of(model: Model) -> str:
    """The contrastive loss that the model has the parameters of."""
    return "sigmoid" if hasattr(model, "logit_bias") else "softmax"
