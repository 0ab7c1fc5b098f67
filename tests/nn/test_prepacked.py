"""Prepacked towers against the same towers in float32 and in bfloat16."""

import copy

import pytest
import torch

from sensorium.encoders.clip_image import ClipImage, ClipImageConfig
from sensorium.encoders.clip_text import ClipText, ClipTextConfig
from sensorium.model import Model
from sensorium.nn.prepacked import PrepackedLinear, can_prepack, prepack

needs_kernels = pytest.mark.skipif(not can_prepack(), reason="this CPU has no bfloat16 kernels")


def tower(**stated) -> ClipImage:
    torch.manual_seed(0)
    image = ClipImage(ClipImageConfig(size=32, patch=8, width=96, depth=3, heads=3, **stated), summary_only=True)
    for parameter in image.parameters():  # biases start at zero, where a mistake in them would not show
        parameter.data += 0.02 * torch.randn_like(parameter)
    return image.eval()


def pictures(rows: int) -> dict[str, torch.Tensor]:
    pixels = torch.randint(0, 256, (rows, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return {"pixels": pixels, "mask": torch.ones(rows, 1, dtype=torch.bool)}


@needs_kernels
@pytest.mark.parametrize(
    "stated",
    [{"activation": "quick_gelu"}, {"activation": "gelu"}, {"pooling": "attention", "activation": "gelu_tanh"}],
    ids=["quick_gelu", "gelu", "attention pooling"],
)
@torch.inference_mode()
def test_a_prepacked_tower_is_as_near_to_float32_as_autocast_is(stated: dict):
    plain, packed = tower(**stated), tower(**stated)
    prepack(packed)
    assert not any(isinstance(module, torch.nn.Linear) for module in packed.modules())
    exact = plain(pictures(6)).pooled
    with torch.autocast("cpu", torch.bfloat16):
        cast = plain(pictures(6)).pooled
    error = (packed(pictures(6)).pooled - exact).norm() / exact.norm()
    assert 1e-5 < error <= 1.2 * (cast - exact).norm() / exact.norm()


@needs_kernels
@torch.inference_mode()
def test_a_row_alone_is_the_row_in_the_batch():
    packed = tower(activation="quick_gelu")
    prepack(packed)
    whole = packed(pictures(5)).pooled
    alone = packed({key: value[2:3] for key, value in pictures(5).items()}).pooled
    torch.testing.assert_close(alone[0], whole[2], rtol=2e-2, atol=2e-2)


@needs_kernels
def test_a_linear_layer_of_which_only_some_outputs_are_asked():
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(48, 96), torch.randn(2, 7, 48)
    packed = PrepackedLinear(layer)
    wanted = layer.bfloat16()(x.bfloat16())
    torch.testing.assert_close(packed(x), wanted, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(packed.rows(x, 32, 96), wanted[..., 32:], rtol=1e-2, atol=1e-2)


@needs_kernels
@torch.inference_mode()
def test_a_model_for_inference_shares_weights_and_leaves_the_model_as_it_was():
    text = ClipText(ClipTextConfig(vocabulary=50, end_token=49, width=64, depth=2, heads=2), summary_only=True)
    model = Model({"image": tower(), "text": text}, temperature=0.07)
    tokens = torch.tensor([[3, 4, 49, 0], [5, 6, 7, 49]])
    inputs = {"image": pictures(2), "text": {"tokens": tokens, "mask": tokens > 0}}
    before = copy.deepcopy(model.state_dict())
    ready = model.for_inference()
    assert ready.encoders["text"].embedding.weight is model.encoders["text"].embedding.weight
    assert not ready.training
    model.eval()
    for name, features in ready.encode(inputs).items():
        wanted = model.encode(inputs)[name].pooled
        assert (features.pooled - wanted).norm() < 0.02 * wanted.norm()
        assert (features.pooled - wanted).norm() > 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
