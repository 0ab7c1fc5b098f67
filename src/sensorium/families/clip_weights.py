"""Which weight of a published CLIP or SigLIP is which of ours: one table a layout, read both ways."""

from collections.abc import Iterator

from torch import Tensor

from sensorium.errors import UserError
from sensorium.families.clip import ClipConfig
from sensorium.families.weights import TIMM_BLOCK, BlockNames, Weight, blocks, filled, pair, published
from sensorium.model import Model

TRANSFORMERS_BLOCK = BlockNames(
    "layer_norm1.", ("self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."), "self_attn.out_proj.",
    "layer_norm2.", "mlp.fc1.", "mlp.fc2.",
)  # fmt: skip
OPEN_CLIP_BLOCK = BlockNames("ln_1.", ("attn.in_proj_",), "attn.out_proj.", "ln_2.", "mlp.c_fc.", "mlp.c_proj.")


def transformers_weights(config: ClipConfig) -> list[Weight]:
    """The layout of Transformers' `CLIPModel`, or `SiglipModel` when the config's pictures are pooled by attention."""
    image, text, siglip = config.image, config.text, config.image.pooling == "attention"
    vision, words = "vision_model.", "text_model."
    weights = [
        Weight("image.patches.weight", (f"{vision}embeddings.patch_embedding.weight",), shape=_kernel(config)),
        Weight("image.position", (f"{vision}embeddings.position_embedding.weight",)),
        Weight("text.embedding.weight", (f"{words}embeddings.token_embedding.weight",)),
        Weight("text.position", (f"{words}embeddings.position_embedding.weight",)),
        *blocks("image.", f"{vision}encoder.layers.", image.depth, TRANSFORMERS_BLOCK),
        *blocks("text.", f"{words}encoder.layers.", text.depth, TRANSFORMERS_BLOCK),
        *pair("image.tower.norm.", f"{vision}post_layernorm."),
        *pair("text.tower.norm.", f"{words}final_layer_norm."),
    ]
    if not siglip:
        return [
            *weights,
            Weight("image.summary", (f"{vision}embeddings.class_embedding",)),
            *pair("image.pre_norm.", f"{vision}pre_layrnorm."),
            Weight("image_projection.linear.weight", ("visual_projection.weight",)),
            Weight("text_projection.linear.weight", ("text_projection.weight",)),
            Weight("logit_scale", ("logit_scale",)),
        ]
    return [
        *weights,
        Weight("image.patches.bias", (f"{vision}embeddings.patch_embedding.bias",)),
        Weight("image.pooling.probe", (f"{vision}head.probe",), shape=(1, 1, image.width)),
        *pair("image.pooling.qkv.", f"{vision}head.attention.in_proj_"),
        *pair("image.pooling.out.", f"{vision}head.attention.out_proj."),
        *pair("image.pooling.norm.", f"{vision}head.layernorm."),
        *pair("image.pooling.mlp.rise.", f"{vision}head.mlp.fc1."),
        *pair("image.pooling.mlp.fall.", f"{vision}head.mlp.fc2."),
        *pair("text_projection.linear.", f"{words}head."),
        Weight("logit_scale", ("logit_scale",), shape=(1,)),
        Weight("logit_bias", ("logit_bias",), shape=(1,)),
    ]


def open_clip_weights(config: ClipConfig, custom_text: bool) -> list[Weight]:
    """The layout of open_clip and of OpenAI's own weights; `custom_text` puts the text tower under `text.`."""
    words = "text." if custom_text else ""
    bias = config.text_bias
    projection_name = f"{words}text_projection.weight" if bias else f"{words}text_projection"
    weights = [
        *(_timm_weights(config) if config.image.pooling == "attention" else _visual_weights(config)),
        Weight("text.embedding.weight", (f"{words}token_embedding.weight",)),
        Weight("text.position", (f"{words}positional_embedding",)),
        *blocks("text.", f"{words}transformer.resblocks.", config.text.depth, OPEN_CLIP_BLOCK),
        *pair("text.tower.norm.", f"{words}ln_final."),
        Weight("text_projection.linear.weight", (projection_name,), transposed=not bias),
        Weight("logit_scale", ("logit_scale",)),
    ]
    if bias:
        weights.append(Weight("text_projection.linear.bias", (f"{words}text_projection.bias",)))
    if config.logit_bias is not None:
        weights.append(Weight("logit_bias", ("logit_bias",)))
    return weights


def _visual_weights(config: ClipConfig) -> Iterator[Weight]:
    """open_clip's own vision transformer."""
    yield Weight("image.patches.weight", ("visual.conv1.weight",), shape=_kernel(config))
    yield Weight("image.position", ("visual.positional_embedding",))
    yield Weight("image.summary", ("visual.class_embedding",))
    if config.image.pre_norm:
        yield from pair("image.pre_norm.", "visual.ln_pre.")
    yield from blocks("image.", "visual.transformer.resblocks.", config.image.depth, OPEN_CLIP_BLOCK)
    yield from pair("image.tower.norm.", "visual.ln_post.")
    yield Weight("image_projection.linear.weight", ("visual.proj",), transposed=True)


def _timm_weights(config: ClipConfig) -> Iterator[Weight]:
    """timm's vision transformer with attention pooling, which is open_clip's SigLIP."""
    trunk, pool, width = "visual.trunk.", "visual.trunk.attn_pool.", config.image.width
    count = (config.image.size // config.image.patch) ** 2
    yield Weight("image.patches.weight", (f"{trunk}patch_embed.proj.weight",), shape=_kernel(config))
    yield Weight("image.patches.bias", (f"{trunk}patch_embed.proj.bias",))
    yield Weight("image.position", (f"{trunk}pos_embed",), shape=(1, count, width))
    yield from blocks("image.", f"{trunk}blocks.", config.image.depth, TIMM_BLOCK)
    yield from pair("image.tower.norm.", f"{trunk}norm.")
    yield Weight("image.pooling.probe", (f"{pool}latent",), shape=(1, 1, width))
    yield from pair("image.pooling.qkv.", f"{pool}q.", f"{pool}kv.", shares=(1, 2))
    yield from pair("image.pooling.out.", f"{pool}proj.")
    yield from pair("image.pooling.norm.", f"{pool}norm.")
    yield from pair("image.pooling.mlp.rise.", f"{pool}mlp.fc1.")
    yield from pair("image.pooling.mlp.fall.", f"{pool}mlp.fc2.")


def _kernel(config: ClipConfig) -> tuple[int, ...]:
    return (config.image.width, 3, config.image.patch, config.image.patch)


def state_fronts(model: Model) -> dict[str, str]:
    """By the front of a name in a table above, the front of the name in the model's state."""
    image, text = tower_names(model)
    fronts = {"image.": f"encoders.parts.{model.encoders.index[image]}.", "logit": "logit"}
    fronts["text."] = f"encoders.parts.{model.encoders.index[text]}."
    for front, name in (("image_projection.", image), ("text_projection.", text)):
        if name in model.projections:
            fronts[front] = f"projections.parts.{model.projections.index[name]}."
    return fronts


def tower_names(model: Model) -> tuple[str, str]:
    """The names of the picture's and the text's input of a model of two such towers. Raises UserError for another."""
    kinds = {encoder.modality: name for name, encoder in model.encoders.items()}
    names = [type(encoder).__name__ for _, encoder in model.encoders.items()]
    if sorted(names) != ["ClipImage", "ClipText"] or not hasattr(model, "logit_scale"):
        raise UserError(
            "Only a model of a 'clip_image' and a 'clip_text' tower with a temperature can be written for others; this"
            f" one has the encoders {', '.join(names)}."
        )
    return kinds["image"], kinds["text"]


def fill(model: Model, weights: list[Weight], tensors: dict[str, Tensor], source: str) -> None:
    """Puts the published `tensors` into `model`, all of its weights; `source` names where they come from. Raises
    UserError for a missing weight, an unknown one, or one of another size."""
    model.load_state_dict(filled(model.state_dict(), weights, tensors, source, state_fronts(model)), strict=True)


def publish(model: Model, weights: list[Weight]) -> dict[str, Tensor]:
    """The model's weights under the published names and in their shapes."""
    return published(model.state_dict(), weights, state_fronts(model))
