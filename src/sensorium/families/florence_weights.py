"""Which weight of a published Florence-2 is which: of its encoder in Transformers' layout ours, and in Microsoft's."""

import re
from collections.abc import Iterable

from sensorium.families.weights import Weight, pair

ENCODER = "model.language_model.encoder."
SHARED = "model.language_model.shared.weight"
# Names in Transformers' layout that hold the embeddings of words once more.
COPIES = ("lm_head.weight", f"{ENCODER}embed_tokens.weight", "model.language_model.decoder.embed_tokens.weight")
# Further names of these in Microsoft's, of which a file has some.
ORIGINAL_COPIES = (
    "language_model.lm_head.weight",
    "language_model.model.encoder.embed_tokens.weight",
    "language_model.model.decoder.embed_tokens.weight",
)
_PROJECTION = "model.multi_modal_projector.image_projection.weight"
# Transformers' names as patterns, and Microsoft's, in the order in which they are replaced.
_RENAMED = (
    (r"^model\.vision_tower\.", "vision_tower."),
    (r"^(vision_tower\.convs\.\d+)\.conv\.", r"\1.proj."),
    (r"\.(spatial|channel)_block\.conv([12])\.", r".\1_block.conv\2.fn.dw."),
    (r"\.(window|channel)_attn\.", r".\1_attn.fn."),
    (r"\.spatial_block\.norm1\.", ".spatial_block.window_attn.norm."),
    (r"\.channel_block\.norm1\.", ".channel_block.channel_attn.norm."),
    (r"_block\.norm2\.", "_block.ffn.norm."),
    (r"_block\.ffn\.fc", "_block.ffn.fn.net.fc"),
    (r"^model\.multi_modal_projector\.image_projection\.weight$", "image_projection"),
    (r"^model\.multi_modal_projector\.image_position_embed\.", "image_pos_embed."),
    (r"^model\.multi_modal_projector\.", ""),
    (r"^model\.language_model\.", "language_model.model."),
)


def encoder_weights(layers: int) -> list[Weight]:
    """BART's encoder in Transformers' layout, as our fusion `bart` of so many layers has it."""
    table = [Weight("places.weight", (f"{ENCODER}embed_positions.weight",))]
    table += pair("norm.", f"{ENCODER}layernorm_embedding.")
    for layer in range(layers):
        ours, published = f"blocks.{layer}.", f"{ENCODER}layers.{layer}."
        qkv = [f"{published}self_attn.{name}_proj." for name in "qkv"]
        table += pair(f"{ours}attention.qkv.", *qkv, shares=(1, 1, 1))
        table += pair(f"{ours}attention.out.", f"{published}self_attn.out_proj.")
        table += pair(f"{ours}attention.norm.", f"{published}self_attn_layer_norm.")
        table += pair(f"{ours}rise.", f"{published}fc1.")
        table += pair(f"{ours}fall.", f"{published}fc2.")
        table += pair(f"{ours}norm.", f"{published}final_layer_norm.")
    return table


def original_weights(names: Iterable[str], copies: tuple[str, ...]) -> list[Weight]:
    """The weights `names` of Transformers' layout as Microsoft's has them. copies: those of ORIGINAL_COPIES that there
    are."""
    table = []
    for name in names:
        if name in COPIES:
            continue
        original = name
        for pattern, replacement in _RENAMED:
            original = re.sub(pattern, replacement, original)
        of_words = copies if name == SHARED else ()
        table.append(Weight(name, (original,), transposed=name == _PROJECTION, copies=of_words))
    return table
