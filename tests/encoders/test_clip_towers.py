"""The two towers of CLIP: what they compute with little work is what they compute with much."""

import numpy as np
import pytest
import torch
from open_clip.model import resize_pos_embed
from torch import Tensor, nn

from sensorium.encoders.clip_image import ClipImage, ClipImageConfig, interpolated, resized
from sensorium.encoders.clip_text import ClipText, ClipTextConfig
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError
from tests.parity.published import stirred

CLOSE = {"rtol": 1e-5, "atol": 2e-6}
SMALL = {"width": 24, "depth": 3, "heads": 2}
TEXT = SMALL | {"vocabulary": 300, "context": 16}
IMAGE = SMALL | {"size": 16, "patch": 4, "augmentation": None}
KINDS = [
    {"pooling": "end", "end_token": 290},
    {"pooling": "largest"},
    {"pooling": "last"},
    {"pooling": "first"},
    {"pooling": "first", "causal": False},
    {"pooling": "mean", "causal": False},
    {"pooling": "last", "causal": False, "pads": 0},
]


def words() -> dict[str, Tensor]:
    """`tokens` and `mask` of four texts of 3 to 9 tokens, each ending with token 290."""
    chance = torch.Generator().manual_seed(0)
    lengths = torch.tensor([5, 9, 3, 7])
    tokens = torch.randint(1, 290, (4, 9), generator=chance)
    tokens[torch.arange(4), lengths - 1] = 290
    return {"tokens": tokens, "mask": torch.arange(9) < lengths[:, None]}


def pictures(rows: int = 3) -> dict[str, Tensor]:
    """`pixels` and `mask`."""
    pixels = torch.randint(0, 256, (rows, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return {"pixels": pixels, "mask": torch.ones(rows, 1, dtype=torch.bool)}


def pair(kind: type, config: object) -> tuple[nn.Module, nn.Module]:
    """The same weights twice: tokens and summary, the summary alone."""
    whole, brief = kind(config), kind(config, summary_only=True)
    brief.load_state_dict(stirred(whole).state_dict())
    return whole, brief.eval()


def with_gradients(encoder: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Pooled, and the gradient of every weight by name, of a loss that reads all of it."""
    encoder.zero_grad()
    pooled = encoder(inputs).pooled
    (pooled * torch.arange(pooled.numel()).view_as(pooled).cos()).sum().backward()
    return {"pooled": pooled.detach()} | {name: value.grad for name, value in encoder.named_parameters()}


@pytest.mark.parametrize("stated", KINDS)
def test_a_texts_summary_alone_is_the_summary_of_all_its_tokens(stated: dict):
    whole, brief = pair(ClipText, ClipTextConfig(**TEXT | stated))
    inputs = words()
    features = whole(inputs)
    assert features.tokens.shape == (4, 16 if "pads" in stated else 9, 24)
    assert torch.equal(features.mask[:, :9], inputs["mask"])
    wanted, found = with_gradients(whole, inputs), with_gradients(brief, inputs)
    for name, value in wanted.items():
        assert (found[name] - value).norm() <= 1e-5 * value.norm() + 1e-6, name


@pytest.mark.parametrize("stated", KINDS)
def test_a_text_alone_is_that_text_among_longer_ones(stated: dict):
    whole, brief = pair(ClipText, ClipTextConfig(**TEXT | stated))
    inputs, lengths = words(), [5, 9, 3, 7]
    together = brief(inputs).pooled
    noisy = inputs | {"tokens": torch.where(inputs["mask"], inputs["tokens"], 299)}
    assert torch.equal(brief(noisy).pooled, together)
    for row, length in enumerate(lengths):
        alone = {name: value[row : row + 1, :length] for name, value in inputs.items()}
        torch.testing.assert_close(brief(alone).pooled[0], together[row], **CLOSE)
        torch.testing.assert_close(whole(alone).tokens[0, :length], whole(inputs).tokens[row, :length], **CLOSE)


def test_the_work_does_not_grow_with_padding():
    encoder = ClipText(ClipTextConfig(**TEXT | KINDS[0]), summary_only=True)
    seen: list[int] = []
    encoder.tower.blocks[0].mlp.register_forward_hook(lambda module, given, out: seen.append(out.shape[:-1].numel()))
    encoder.tower.blocks[2].mlp.register_forward_hook(lambda module, given, out: seen.append(out.shape[:-1].numel()))
    encoder(words())
    assert seen == [5 + 9 + 3 + 7, 4]


def test_causal_attention_sees_nothing_later():
    whole, _ = pair(ClipText, ClipTextConfig(**TEXT | KINDS[0]))
    inputs = words()
    changed = inputs | {"tokens": inputs["tokens"].clone()}
    changed["tokens"][1, 6] = 5
    before, after = whole(inputs).tokens, whole(changed).tokens
    torch.testing.assert_close(after[1, :6], before[1, :6], **CLOSE)
    assert (after[1, 6:] - before[1, 6:]).abs().amax(dim=1).min() > 1e-4


@pytest.mark.parametrize("pooling", ["class", "mean", "attention"])
def test_a_pictures_summary_alone_is_the_summary_of_all_its_tokens(pooling: str):
    whole, brief = pair(ClipImage, ClipImageConfig(**IMAGE, pooling=pooling))
    assert whole(pictures()).tokens.shape == (3, 16 + (pooling == "class"), 24)
    wanted, found = with_gradients(whole, pictures()), with_gradients(brief, pictures())
    for name, value in wanted.items():
        assert (found[name] - value).norm() <= 1e-5 * value.norm() + 1e-6, name
    alone = {name: value[1:2] for name, value in pictures().items()}
    torch.testing.assert_close(brief(alone).pooled[0], brief(pictures()).pooled[1], **CLOSE)


def test_patch_dropout_leaves_patches_out_in_training_alone():
    encoder = ClipImage(ClipImageConfig(**IMAGE, patch_dropout=0.75))
    full = ClipImage(ClipImageConfig(**IMAGE))
    full.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder.eval()(pictures()).tokens, full(pictures()).tokens)
    encoder.train()
    torch.manual_seed(3)
    first = encoder(pictures())
    torch.manual_seed(3)
    assert torch.equal(encoder(pictures()).tokens, first.tokens)
    assert first.tokens.shape == (3, 1 + 4, 24)
    assert not torch.equal(encoder(pictures()).tokens, first.tokens)


def test_kept_patches_bring_their_own_positions(monkeypatch: pytest.MonkeyPatch):
    """A transformer does not care in which order its tokens come."""
    encoder = stirred(ClipImage(ClipImageConfig(**IMAGE, patch_dropout=0.5)))
    straight = encoder(pictures()).tokens
    backwards = torch.arange(15, -1, -1)
    monkeypatch.setattr(ClipImage, "_sample_patches", lambda self, rows, count, device: backwards.expand(rows, -1))
    turned = encoder.train()(pictures()).tokens
    torch.testing.assert_close(turned[:, 0], straight[:, 0], **CLOSE)
    torch.testing.assert_close(turned[:, 1:].flip(1), straight[:, 1:], **CLOSE)


def test_positions_for_another_size_are_open_clips():
    encoder = stirred(ClipImage(ClipImageConfig(**IMAGE)))
    state = {"visual.positional_embedding": encoder.position.detach().clone()}

    class Shape:
        class visual:
            grid_size = (6, 6)

    resize_pos_embed(state, Shape)
    larger = resized(encoder, 24)
    torch.testing.assert_close(larger.position.detach(), state["visual.positional_embedding"])
    assert larger.processor.settings.size == larger.config.size == 24
    same = resized(encoder, 16)
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in encoder.state_dict().items())
    plain = torch.randn(9, 24)
    torch.testing.assert_close(interpolated(plain, False, 3), plain)


def test_the_residual_stream_stays_float32_at_half_precision():
    seen: set[torch.dtype] = set()
    towers = [ClipText(ClipTextConfig(**TEXT | KINDS[0])), ClipImage(ClipImageConfig(**IMAGE))]
    for encoder, inputs in zip(towers, (words(), pictures()), strict=True):
        for block in encoder.tower.blocks:
            block.register_forward_hook(lambda module, given, out: seen.update((given[0].dtype, out.dtype)))
            block.mlp.fall.register_forward_hook(lambda module, given, out: seen.add(str(out.dtype)))
        with torch.autocast("cpu", torch.bfloat16):
            features = encoder(inputs)
        assert features.pooled.dtype == torch.float32
    assert seen == {torch.float32, "torch.bfloat16"}


def test_a_text_tower_learns_its_tokenizer_and_knows_its_end():
    texts = ["a red shoe on a mat", "two red shoes", "a cat on a mat"] * 4
    encoder = ClipText.build(ClipTextConfig(**SMALL), texts, {}, summary_only=True)
    ids = encoder.processor("a red cat")["tokens"].tolist()
    vocabulary = encoder.processor.vocabulary
    assert ids[-1] == encoder.config.end_token == vocabulary - 1 == encoder.config.vocabulary - 1
    assert ids.count(vocabulary - 1) == 1
    assert encoder.processor.tokenizer.decode(ids, skip_special_tokens=True) == " a red cat"
    assert ClipText.build(ClipTextConfig(**SMALL), texts, {}).processor("a red cat")["tokens"].tolist() == ids


def test_mistakes_in_a_towers_settings():
    with pytest.raises(ValueError, match="heads \\(5\\) must divide width \\(24\\)"):
        ClipTextConfig(**TEXT | {"heads": 5})
    with pytest.raises(ValueError, match="pads \\(300\\) must be less than vocabulary"):
        ClipTextConfig(**TEXT, pads=300)
    with pytest.raises(ValueError, match="patch \\(5\\) must divide size"):
        ClipImageConfig(**IMAGE | {"patch": 5})
    with pytest.raises(UserError, match="needs the option 'end_token'"):
        ClipText(ClipTextConfig(**TEXT))
    with pytest.raises(UserError, match="needs the option 'size'"):
        ClipImage(ClipImageConfig(**IMAGE | {"size": None}))
    processor = TextProcessor.train(["a cat"], 32, 300)
    with pytest.raises(UserError, match="cuts texts to 32 tokens, the model has 16 positions"):
        ClipText(ClipTextConfig(**TEXT), processor)


def test_an_unstated_size_is_that_of_the_pictures():
    encoder = ClipImage.build(ClipImageConfig(**SMALL, patch=8), [np.zeros((30, 30, 3))], {"height": 30, "width": 28})
    assert encoder.config.size == 32


@pytest.mark.parametrize(("words", "context"), [(3, 77), (100, 102), (400, 256)])
def test_an_open_context_is_that_of_the_longest_training_text_within_bounds(words, context):
    texts = ["two three one", "one " * words] * 3  # "one" is seen often enough to be a token
    encoder = ClipText.build(ClipTextConfig(width=32, depth=1, heads=2, context=None), texts, {})
    assert encoder.config.context == len(encoder.position) == encoder.processor.max_tokens == context
    assert len(encoder.processor("one " * 500)["tokens"]) == context
