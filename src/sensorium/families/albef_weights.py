"""Which weight of a published ALBEF is which of ours."""

from collections.abc import Iterator

from sensorium.families.albef_roles import roles
from sensorium.families.weights import TIMM_BLOCK, Weight, blocks, pair
from sensorium.model import Model


def weights(model: Model, teacher: bool = False) -> list[Weight]:
    """The table of an ALBEF, in the layout of pre-training or of answering, by its heads. Ours are named by what they
    are (`image`, `text`, `answer`), of which `fronts` makes names of the model's. teacher: of the copies that follow
    it, whose names have an `_m`, and ours the front `teacher.`."""
    suffix, part_names = "_m" if teacher else "", roles(model)
    text, answers = model.encoders[part_names.text].config, "answer" in part_names.heads
    bert = f"text_encoder{suffix}.{'' if answers else 'bert.'}"
    cls = f"text_encoder{suffix}.cls.predictions."
    layers = range(text.depth, text.depth + model.fusion.config.layers)
    table = visual(model, f"visual_encoder{suffix}.")
    table += embeddings("text.", bert, () if answers else (f"{cls}decoder.weight",))
    for i in range(text.depth):
        table += block(f"text.blocks.{i}.", f"{bert}encoder.layer.{i}.", False)
    table += _context_projections("fusion.asking.0.", bert, layers)
    for block_index, i in enumerate(layers):
        table += block(f"fusion.blocks.{block_index}.", f"{bert}encoder.layer.{i}.", True)
    if answers:
        table += _answer(model.heads[part_names.heads["answer"]].config.layers, suffix)
    else:
        table += _pretraining(cls, suffix)
    return [weight._replace(ours=f"teacher.{weight.ours}") for weight in table] if teacher else table


def visual(model: Model, front: str) -> list[Weight]:
    """The table of the pictures' encoder, a vision transformer of timm whose names begin with `front`."""
    encoder = model.encoders[roles(model).image]
    image, count = encoder.config, len(encoder.position)
    kernel = (image.width, 3, image.patch, image.patch)
    return [
        Weight("image.patches.weight", (f"{front}patch_embed.proj.weight",), shape=kernel),
        Weight("image.patches.bias", (f"{front}patch_embed.proj.bias",)),
        Weight("image.summary", (f"{front}cls_token",), shape=(1, 1, image.width)),
        Weight("image.position", (f"{front}pos_embed",), shape=(1, count, image.width)),
        *blocks("image.", f"{front}blocks.", image.depth, TIMM_BLOCK),
        *pair("image.tower.norm.", f"{front}norm."),
    ]


def _pretraining(cls: str, suffix: str) -> Iterator[Weight]:
    yield from words("words.", cls)
    yield from pair("image_projection.linear.", f"vision_proj{suffix}.")
    yield from pair("text_projection.linear.", f"text_proj{suffix}.")
    if not suffix:  # the teacher aligns and fills in words; it does not match
        yield from pair("match.linear.", "itm_head.")
        yield Weight("logit_scale", ("temp",))


def _answer(depth: int, suffix: str) -> Iterator[Weight]:
    layers = range(depth)
    front = f"text_decoder{suffix}."
    cls = f"{front}cls.predictions."
    yield from embeddings("answer.", f"{front}bert.", (f"{cls}decoder.weight",))
    yield from _context_projections("answer.asking.", f"{front}bert.", layers)
    for i in layers:
        yield from block(f"answer.blocks.{i}.", f"{front}bert.encoder.layer.{i}.", True)
    yield from words("answer.", cls)


def embeddings(our_prefix: str, published_prefix: str, copies: tuple[str, ...]) -> Iterator[Weight]:
    """BERT's embeddings; `copies`: further names of the words'."""
    our_front, published_front = f"{our_prefix}embeddings.", f"{published_prefix}embeddings."
    yield Weight(f"{our_front}words.weight", (f"{published_front}word_embeddings.weight",), copies=copies)
    yield Weight(f"{our_front}places.weight", (f"{published_front}position_embeddings.weight",))
    yield Weight(f"{our_front}kinds", (f"{published_front}token_type_embeddings.weight",))
    yield from pair(f"{our_front}norm.", f"{published_front}LayerNorm.")


def words(our_prefix: str, cls: str) -> Iterator[Weight]:
    """BERT's decision on masked words, without the words' embeddings."""
    yield from pair(f"{our_prefix}network.dense.", f"{cls}transform.dense.")
    yield from pair(f"{our_prefix}network.norm.", f"{cls}transform.LayerNorm.")
    yield Weight(f"{our_prefix}network.bias", (f"{cls}bias",), copies=(f"{cls}decoder.bias",))


def _context_projections(our_prefix: str, bert: str, layers: range) -> Iterator[Weight]:
    """The keys and values of the context, of all layers at once."""
    names = [f"{bert}encoder.layer.{i}.crossattention.self.{kind}." for i in layers for kind in ("key", "value")]
    return pair(f"{our_prefix}linear.", *names, shares=(1,) * len(names))


def block(our_prefix: str, published_prefix: str, crosses: bool) -> Iterator[Weight]:
    """One of BERT's layers; `crosses`: with its attention to a context."""
    query_key_value = [f"{published_prefix}attention.self.{projection}." for projection in ("query", "key", "value")]
    yield from pair(f"{our_prefix}attention.qkv.", *query_key_value, shares=(1, 1, 1))
    yield from pair(f"{our_prefix}attention.out.", f"{published_prefix}attention.output.dense.")
    yield from pair(f"{our_prefix}attention.norm.", f"{published_prefix}attention.output.LayerNorm.")
    if crosses:
        our_crossing, published_crossing = f"{our_prefix}crossings.0.", f"{published_prefix}crossattention."
        yield from pair(f"{our_crossing}query.", f"{published_crossing}self.query.")
        yield from pair(f"{our_crossing}out.", f"{published_crossing}output.dense.")
        yield from pair(f"{our_crossing}norm.", f"{published_crossing}output.LayerNorm.")
    yield from pair(f"{our_prefix}rise.", f"{published_prefix}intermediate.dense.")
    yield from pair(f"{our_prefix}fall.", f"{published_prefix}output.dense.")
    yield from pair(f"{our_prefix}norm.", f"{published_prefix}output.LayerNorm.")


def fronts(model: Model) -> dict[str, str]:
    """By the front of a name in the table, the front of the name in the state of the model, or of its teacher."""
    image, text, head_names = roles(model)
    state_fronts = {"fusion.": "fusion.", "logit_scale": "logit_scale"}
    for role, name in (("image", image), ("text", text)):
        state_fronts[f"{role}."] = f"encoders.parts.{model.encoders.index[name]}."
        if name in model.projections:
            state_fronts[f"{role}_projection."] = f"projections.parts.{model.projections.index[name]}."
    state_fronts |= {f"{role}.": f"heads.parts.{model.heads.index[name]}." for role, name in head_names.items()}
    return state_fronts | {f"teacher.{ours}": f"teacher.model.{state}" for ours, state in state_fronts.items()}
