"""Which weight of a published ALBEF is which of ours."""

from collections.abc import Iterator

from sensorium.families.albef_roles import roles
from sensorium.families.weights import TIMM_BLOCK, Weight, blocks, pair
from sensorium.model import Model


def weights(model: Model, teacher: bool = False) -> list[Weight]:
    """The table of an ALBEF, in the layout of pre-training or of answering, by its heads.

    Ours are named by what they are (`image`, `text`, `answer`), of which `fronts` makes names of the model's. teacher:
    of the copies that follow it, whose names have an `_m`, and ours the front `teacher.`.
    """
    suffix, named = "_m" if teacher else "", roles(model)
    text, answers = model.encoders[named.text].config, "answer" in named.heads
    bert = f"text_encoder{suffix}.{'' if answers else 'bert.'}"
    cls = f"text_encoder{suffix}.cls.predictions."
    layers = range(text.depth, text.depth + model.fusion.config.layers)
    table = [
        *visual(model, f"visual_encoder{suffix}."),
        *embeddings("text.", bert, () if answers else (f"{cls}decoder.weight",)),
        *(each for i in range(text.depth) for each in block(f"text.blocks.{i}.", f"{bert}encoder.layer.{i}.", False)),
        *_asked("fusion.asking.0.", bert, layers),
        *(
            each
            for own, i in enumerate(layers)
            for each in block(f"fusion.blocks.{own}.", f"{bert}encoder.layer.{i}.", True)
        ),
        *(_answer(model.heads[named.heads["answer"]].config.layers, suffix) if answers else _pretraining(cls, suffix)),
    ]
    return [one._replace(ours=f"teacher.{one.ours}") for one in table] if teacher else table


def visual(model: Model, front: str) -> list[Weight]:
    """The table of the pictures' encoder, a vision transformer of timm whose names begin with `front`."""
    encoder = model.encoders[roles(model).image]
    image, count = encoder.config, len(encoder.position)
    return [
        Weight(
            "image.patches.weight", (f"{front}patch_embed.proj.weight",), shape=(image.width, 3, *[image.patch] * 2)
        ),
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
    yield from _asked("answer.asking.", f"{front}bert.", layers)
    for i in layers:
        yield from block(f"answer.blocks.{i}.", f"{front}bert.encoder.layer.{i}.", True)
    yield from words("answer.", cls)


def embeddings(ours: str, theirs: str, copies: tuple[str, ...]) -> Iterator[Weight]:
    """BERT's embeddings; `copies`: further names of the words'."""
    own, other = f"{ours}embeddings.", f"{theirs}embeddings."
    yield Weight(f"{own}words.weight", (f"{other}word_embeddings.weight",), copies=copies)
    yield Weight(f"{own}places.weight", (f"{other}position_embeddings.weight",))
    yield Weight(f"{own}kinds", (f"{other}token_type_embeddings.weight",))
    yield from pair(f"{own}norm.", f"{other}LayerNorm.")


def words(ours: str, cls: str) -> Iterator[Weight]:
    """BERT's decision on masked words, without the words' embeddings."""
    yield from pair(f"{ours}network.dense.", f"{cls}transform.dense.")
    yield from pair(f"{ours}network.norm.", f"{cls}transform.LayerNorm.")
    yield Weight(f"{ours}network.bias", (f"{cls}bias",), copies=(f"{cls}decoder.bias",))


def _asked(ours: str, bert: str, layers: range) -> Iterator[Weight]:
    """The keys and values of the context, of all layers at once."""
    names = [f"{bert}encoder.layer.{i}.crossattention.self.{part}." for i in layers for part in ("key", "value")]
    return pair(f"{ours}linear.", *names, shares=(1,) * len(names))


def block(ours: str, theirs: str, crosses: bool) -> Iterator[Weight]:
    """One of BERT's layers; `crosses`: with its attention to a context."""
    own = [f"{theirs}attention.self.{part}." for part in ("query", "key", "value")]
    yield from pair(f"{ours}attention.qkv.", *own, shares=(1, 1, 1))
    yield from pair(f"{ours}attention.out.", f"{theirs}attention.output.dense.")
    yield from pair(f"{ours}attention.norm.", f"{theirs}attention.output.LayerNorm.")
    if crosses:
        crossing, other = f"{ours}crossings.0.", f"{theirs}crossattention."
        yield from pair(f"{crossing}query.", f"{other}self.query.")
        yield from pair(f"{crossing}out.", f"{other}output.dense.")
        yield from pair(f"{crossing}norm.", f"{other}output.LayerNorm.")
    yield from pair(f"{ours}rise.", f"{theirs}intermediate.dense.")
    yield from pair(f"{ours}fall.", f"{theirs}output.dense.")
    yield from pair(f"{ours}norm.", f"{theirs}output.LayerNorm.")


def fronts(model: Model) -> dict[str, str]:
    """By the front of a name in the table, the front of the name in the state of the model, or of its teacher."""
    image, text, heads = roles(model)
    found = {"fusion.": "fusion.", "logit_scale": "logit_scale"}
    for role, name in (("image", image), ("text", text)):
        found[f"{role}."] = f"encoders.parts.{model.encoders.index[name]}."
        if name in model.projections:
            found[f"{role}_projection."] = f"projections.parts.{model.projections.index[name]}."
    found |= {f"{role}.": f"heads.parts.{model.heads.index[name]}." for role, name in heads.items()}
    return found | {f"teacher.{front}": f"teacher.model.{place}" for front, place in found.items()}
