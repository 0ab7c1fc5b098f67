"""Which weight of a published CLIP or SigLIP is which of ours: one table a layout, read both ways."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sensorium.errors import UserError, counted
from sensorium.families.clip import ClipConfig
from sensorium.model import Model


class Weight(NamedTuple):
    """One weight of ours and what holds it elsewhere.

    ours:   its name, with `image.`, `text.`, `image_projection.` or `text_projection.` for where it lies in the model.
    theirs: the names that hold it; of several, the rows lie one below the other, by `shares`.
    shape:  theirs, where it is not ours. transposed: theirs is ours transposed.
    """

    ours: str
    theirs: tuple[str, ...]
    shares: tuple[int, ...] = (1,)
    shape: tuple[int, ...] | None = None
    transposed: bool = False


class BlockNames(NamedTuple):
    """What the parts of a transformer block are called; `qkv` are one name or several, each with its share of rows."""

    norm: str
    qkv: tuple[str, ...]
    out: str
    mlp_norm: str
    rise: str
    fall: str


TRANSFORMERS_BLOCK = BlockNames(
    "layer_norm1.", ("self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."), "self_attn.out_proj.",
    "layer_norm2.", "mlp.fc1.", "mlp.fc2.",
)  # fmt: skip
OPEN_CLIP_BLOCK = BlockNames("ln_1.", ("attn.in_proj_",), "attn.out_proj.", "ln_2.", "mlp.c_fc.", "mlp.c_proj.")
TIMM_BLOCK = BlockNames("norm1.", ("attn.qkv.",), "attn.proj.", "norm2.", "mlp.fc1.", "mlp.fc2.")


def _pair(ours: str, *theirs: str, shares: tuple[int, ...] = (1,)) -> Iterator[Weight]:
    """A layer's weight and bias; the names end in a dot or an underscore."""
    for part in ("weight", "bias"):
        yield Weight(ours + part, tuple(name + part for name in theirs), shares)


def _blocks(ours: str, theirs: str, depth: int, names: BlockNames) -> Iterator[Weight]:
    for index in range(depth):
        own, other = f"{ours}tower.blocks.{index}.", f"{theirs}{index}."
        yield from _pair(f"{own}norm.", other + names.norm)
        yield from _pair(f"{own}qkv.", *(other + name for name in names.qkv), shares=(1,) * len(names.qkv))
        yield from _pair(f"{own}out.", other + names.out)
        yield from _pair(f"{own}mlp_norm.", other + names.mlp_norm)
        yield from _pair(f"{own}mlp.rise.", other + names.rise)
        yield from _pair(f"{own}mlp.fall.", other + names.fall)


def transformers_weights(config: ClipConfig) -> list[Weight]:
    """The layout of Transformers' `CLIPModel`, or `SiglipModel` when the config's pictures are pooled by attention."""
    image, text, siglip = config.image, config.text, config.image.pooling == "attention"
    vision, words = "vision_model.", "text_model."
    weights = [
        Weight("image.patches.weight", (f"{vision}embeddings.patch_embedding.weight",), shape=_kernel(config)),
        Weight("image.position", (f"{vision}embeddings.position_embedding.weight",)),
        Weight("text.embedding.weight", (f"{words}embeddings.token_embedding.weight",)),
        Weight("text.position", (f"{words}embeddings.position_embedding.weight",)),
        *_blocks("image.", f"{vision}encoder.layers.", image.depth, TRANSFORMERS_BLOCK),
        *_blocks("text.", f"{words}encoder.layers.", text.depth, TRANSFORMERS_BLOCK),
        *_pair("image.tower.norm.", f"{vision}post_layernorm."),
        *_pair("text.tower.norm.", f"{words}final_layer_norm."),
    ]
    if not siglip:
        return [
            *weights,
            Weight("image.summary", (f"{vision}embeddings.class_embedding",)),
            *_pair("image.pre_norm.", f"{vision}pre_layrnorm."),
            Weight("image_projection.linear.weight", ("visual_projection.weight",)),
            Weight("text_projection.linear.weight", ("text_projection.weight",)),
            Weight("logit_scale", ("logit_scale",)),
        ]
    return [
        *weights,
        Weight("image.patches.bias", (f"{vision}embeddings.patch_embedding.bias",)),
        Weight("image.pooling.probe", (f"{vision}head.probe",), shape=(1, 1, image.width)),
        *_pair("image.pooling.qkv.", f"{vision}head.attention.in_proj_"),
        *_pair("image.pooling.out.", f"{vision}head.attention.out_proj."),
        *_pair("image.pooling.norm.", f"{vision}head.layernorm."),
        *_pair("image.pooling.mlp.rise.", f"{vision}head.mlp.fc1."),
        *_pair("image.pooling.mlp.fall.", f"{vision}head.mlp.fc2."),
        *_pair("text_projection.linear.", f"{words}head."),
        Weight("logit_scale", ("logit_scale",), shape=(1,)),
        Weight("logit_bias", ("logit_bias",), shape=(1,)),
    ]


def open_clip_weights(config: ClipConfig, custom_text: bool) -> list[Weight]:
    """The layout of open_clip and of OpenAI's own weights; `custom_text` puts the text tower under `text.`."""
    words = "text." if custom_text else ""
    bias = config.text_bias
    theirs = f"{words}text_projection.weight" if bias else f"{words}text_projection"
    weights = [
        *(_timm_weights(config) if config.image.pooling == "attention" else _visual_weights(config)),
        Weight("text.embedding.weight", (f"{words}token_embedding.weight",)),
        Weight("text.position", (f"{words}positional_embedding",)),
        *_blocks("text.", f"{words}transformer.resblocks.", config.text.depth, OPEN_CLIP_BLOCK),
        *_pair("text.tower.norm.", f"{words}ln_final."),
        Weight("text_projection.linear.weight", (theirs,), transposed=not bias),
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
        yield from _pair("image.pre_norm.", "visual.ln_pre.")
    yield from _blocks("image.", "visual.transformer.resblocks.", config.image.depth, OPEN_CLIP_BLOCK)
    yield from _pair("image.tower.norm.", "visual.ln_post.")
    yield Weight("image_projection.linear.weight", ("visual.proj",), transposed=True)


def _timm_weights(config: ClipConfig) -> Iterator[Weight]:
    """timm's vision transformer with attention pooling, which is open_clip's SigLIP."""
    trunk, pool, width = "visual.trunk.", "visual.trunk.attn_pool.", config.image.width
    count = (config.image.size // config.image.patch) ** 2
    yield Weight("image.patches.weight", (f"{trunk}patch_embed.proj.weight",), shape=_kernel(config))
    yield Weight("image.patches.bias", (f"{trunk}patch_embed.proj.bias",))
    yield Weight("image.position", (f"{trunk}pos_embed",), shape=(1, count, width))
    yield from _blocks("image.", f"{trunk}blocks.", config.image.depth, TIMM_BLOCK)
    yield from _pair("image.tower.norm.", f"{trunk}norm.")
    yield Weight("image.pooling.probe", (f"{pool}latent",), shape=(1, 1, width))
    yield from _pair("image.pooling.qkv.", f"{pool}q.", f"{pool}kv.", shares=(1, 2))
    yield from _pair("image.pooling.out.", f"{pool}proj.")
    yield from _pair("image.pooling.norm.", f"{pool}norm.")
    yield from _pair("image.pooling.mlp.rise.", f"{pool}mlp.fc1.")
    yield from _pair("image.pooling.mlp.fall.", f"{pool}mlp.fc2.")


def _kernel(config: ClipConfig) -> tuple[int, ...]:
    return (config.image.width, 3, config.image.patch, config.image.patch)


def places(model: Model) -> dict[str, str]:
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
    """Puts the published `tensors` into `model`; every one has its place and every place gets one.

    Raises UserError for a missing weight, an unknown one, or one of another size; `source` names where they come from.
    """
    fronts, state = places(model), model.state_dict()
    missing = [name for weight in weights for name in weight.theirs if name not in tensors]
    surplus = sorted(tensors.keys() - {name for weight in weights for name in weight.theirs})
    for names, what in ((missing, "lacks"), (surplus, "has beyond the model's")):
        if names:
            raise UserError(
                f"{source} {what} {counted(len(names), 'weight')}, '{names[0]}' first; bring a whole checkpoint of the"
                " model that its configuration describes."
            )
    new = {_ours(weight, fronts): _read(weight, state[_ours(weight, fronts)], tensors, source) for weight in weights}
    model.load_state_dict(new, strict=True)


def publish(model: Model, weights: list[Weight]) -> dict[str, Tensor]:
    """The model's weights under the published names and in their shapes."""
    fronts, state = places(model), model.state_dict()
    tensors = {}
    for weight in weights:
        value = state[_ours(weight, fronts)]
        value = value.T if weight.transposed else value
        value = value if weight.shape is None else value.reshape(weight.shape)
        rows = [share * len(value) // sum(weight.shares) for share in weight.shares] if value.dim() else None
        parts = [value] if len(weight.theirs) == 1 else value.split(rows)
        tensors |= {name: part.contiguous().clone() for name, part in zip(weight.theirs, parts, strict=True)}
    return tensors


def _ours(weight: Weight, fronts: dict[str, str]) -> str:
    front = next(front for front in fronts if weight.ours.startswith(front))
    return fronts[front] + weight.ours[len(front) :]


def _read(weight: Weight, ours: Tensor, tensors: dict[str, Tensor], source: str) -> Tensor:
    whole = weight.shape or tuple(ours.shape[::-1] if weight.transposed else ours.shape)
    for name, share in zip(weight.theirs, weight.shares, strict=True):
        wanted = whole if len(weight.theirs) == 1 else (share * whole[0] // sum(weight.shares), *whole[1:])
        if tuple(tensors[name].shape) not in (wanted, *([(1,)] if wanted == () else [])):
            raise UserError(
                f"{source}: the weight '{name}' has the shape {list(tensors[name].shape)}, the configuration says"
                f" {list(wanted)}; bring the configuration that belongs to the weights."
            )
    parts = [tensors[name].float() for name in weight.theirs]
    value = parts[0] if len(parts) == 1 else torch.cat(parts)
    return (value.T if weight.transposed else value).reshape(ours.shape)
