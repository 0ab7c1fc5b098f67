"""The film encoder: padding, gradients, round trips, frozen image encoders; order in time, which one frame lacks."""

import numpy as np
import pytest
import torch
from torch import nn

from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_conv import ImageConv, ImageConvConfig
from sensorium.encoders.video import FrameConfig, VideoConfig, VideoFrames
from sensorium.encoders.video_processor import DecodedFilm, VideoProcessor, VideoSettings
from sensorium.errors import UserError

CONV = FrameConfig(encoder="image_conv", config={"size": 16, "width": 16, "depth": 1})
VIT = FrameConfig(encoder="vit", config={"size": 16, "width": 24, "depth": 1, "heads": 2, "patch": 4})
TIMM = FrameConfig(encoder="timm", config={"model": "test_efficientnet", "size": 64})
SMALL = {"rate": 8.0, "frames": 8, "width": 32, "depth": 1, "augmentation": None}
KINDS = {
    "conv": VideoConfig(**SMALL, image=CONV),
    "convolution over time": VideoConfig(**SMALL, image=CONV, over="convolution"),
    "mean": VideoConfig(**SMALL, image=CONV, over="mean"),
    "vit": VideoConfig(**SMALL, image=VIT, grid=2),
    "timm": VideoConfig(**SMALL, image=TIMM),
    "timm, frozen": VideoConfig(**SMALL, image=TIMM, frozen=True),
}
LEARNING = [name for name in KINDS if name != "timm, frozen"]


def small(name: str, **options) -> VideoFrames:
    torch.manual_seed(0)
    return VideoFrames(KINDS[name], **options)


def films(encoder: VideoFrames, lengths: list[int]) -> dict[str, torch.Tensor]:
    """A batch of films of noise; noise also stands where there is no frame."""
    size, longest = encoder.processor.settings.size, max(lengths)
    return {
        "pixels": torch.randint(0, 256, (len(lengths), longest, 3, size, size), dtype=torch.uint8),
        "seconds": torch.rand(len(lengths), longest).cumsum(dim=1),
        "mask": torch.arange(longest) < torch.tensor(lengths)[:, None],
    }


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_film_alone_equals_the_film_among_longer_ones(kind):
    encoder = small(kind).eval()
    lengths = [5, 3, 1]
    inputs = films(encoder, lengths)
    together = encoder(inputs)
    assert together.tokens.shape == (3, 5, encoder.dim) and torch.equal(together.mask, inputs["mask"])
    for row, length in enumerate(lengths):
        alone = encoder({name: value[row : row + 1, :length] for name, value in inputs.items()})
        torch.testing.assert_close(together.pooled[row], alone.pooled[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.tokens[row, :length], alone.tokens[0], rtol=1e-5, atol=1e-5)
        assert not together.tokens[row, length:].any()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_summary_only_gives_the_same_summary_as_its_one_token(kind):
    encoder, summary = small(kind).eval(), small(kind, summary_only=True).eval()
    summary.load_state_dict(encoder.state_dict())
    inputs = films(encoder, [4, 2])
    said = summary(inputs)
    assert said.tokens.shape == (2, 1, encoder.dim)
    torch.testing.assert_close(said.pooled, encoder(inputs).pooled)


@pytest.mark.parametrize("kind", LEARNING)
def test_every_parameter_gets_a_gradient_from_the_summary(kind):
    encoder = small(kind).train()
    said = encoder(films(encoder, [5, 4, 3]))
    (said.pooled * torch.randn_like(said.pooled)).sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_rebuilt_from_its_config_and_weights_it_says_the_same(kind):
    encoder = VideoFrames.build(KINDS[kind], [], {}).eval()
    other = VideoFrames(VideoConfig.model_validate_json(encoder.config.model_dump_json())).eval()
    other.load_state_dict(encoder.state_dict())
    inputs = films(encoder, [4, 2])
    assert torch.equal(other(inputs).pooled, encoder(inputs).pooled)
    assert other.processor.settings == encoder.processor.settings


def test_a_frozen_image_encoder_stays_as_it_is_while_the_rest_learns():
    encoder = small("timm, frozen")
    encoder.requires_grad_(True).train()  # as a run does
    assert not encoder.pretrained and encoder.training and not encoder.image.training
    said = encoder(films(encoder, [4, 2]))
    said.pooled.square().sum().backward()
    learned = {name for name, weight in encoder.named_parameters() if weight.grad is not None}
    assert learned == {name for name, _ in encoder.named_parameters() if not name.startswith("image.")} != set()


def test_pretrained_means_that_nothing_is_left_to_learn(tmp_path):
    import timm

    torch.manual_seed(3)
    state = timm.create_model("test_efficientnet").state_dict()
    torch.save(state, tmp_path / "w.pth")
    image = FrameConfig(encoder="timm", config=TIMM.config | {"weights": str(tmp_path / "w.pth")})
    encoder = VideoFrames.build(VideoConfig(image=image, over="mean"), [], {"seconds": 2.0, "rate": 10})
    assert encoder.pretrained and encoder.frozen
    assert torch.equal(encoder.image.model.conv_stem.weight, state["conv_stem.weight"])
    assert not VideoFrames.build(VideoConfig(image=image), [], {}).pretrained
    assert not VideoFrames.build(VideoConfig(image=image, over="mean", frozen=False), [], {}).frozen


def test_rate_and_size_come_from_the_data_unless_stated():
    facts = {"height": 30.0, "width": 40.0, "rate": 25.0, "seconds": 2.0, "records": 9.0}
    settings = VideoFrames.build(VideoConfig(frames=10), [], facts).processor.settings
    assert (settings.rate, settings.frames, settings.size) == (5.0, 10, 40)
    assert VideoFrames.build(VideoConfig(frames=100), [], facts).processor.settings.rate == 25.0
    large = VideoFrames.build(VideoConfig(rate=2), [], facts | {"height": 1080.0, "width": 1920.0})
    assert (large.processor.settings.rate, large.processor.settings.size) == (2.0, 64)
    with pytest.raises(UserError, match="'rate'"):
        VideoFrames(VideoConfig())
    with pytest.raises(UserError, match="'size'"):
        VideoFrames(VideoConfig(rate=1))
    with pytest.raises(UserError, match="did you mean 'depth'"):
        VideoFrames(VideoConfig(rate=1, image=FrameConfig(config={"size": 16, "dept": 1})))
    with pytest.raises(UserError, match="width is 3"):
        VideoFrames(VideoConfig(rate=1, image=FrameConfig(config={"size": 16, "width": 3})))


@torch.no_grad()
def test_what_is_said_of_a_frame_is_what_the_image_encoder_says():
    encoder = small("mean").eval()
    image = ImageConv(ImageConvConfig(**CONV.config, augmentation=None)).eval()
    image.load_state_dict(encoder.image.state_dict())
    inputs = films(encoder, [3])
    alone = image({"pixels": inputs["pixels"][0], "mask": torch.ones(3, 1, dtype=torch.bool)})
    torch.testing.assert_close(encoder(inputs).tokens[0], alone.pooled)
    torch.testing.assert_close(encoder(inputs).pooled[0], alone.pooled.mean(dim=0))


def settings(**changes) -> VideoSettings:
    return VideoSettings(**({"rate": 5, "frames": 4, "size": 16} | changes))


def shown(count: int, height: int = 20, width: int = 30) -> DecodedFilm:
    frame = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    return DecodedFilm(np.repeat(frame, count, axis=0), np.arange(count) / 5)


def test_all_frames_of_a_film_are_changed_alike():
    processor = VideoProcessor(settings())
    torch.manual_seed(0)
    one = processor(shown(4), augment=True)["pixels"]
    two = processor(shown(4), augment=True)["pixels"]
    plain = processor(shown(4))["pixels"]
    assert all(torch.equal(frame, one[0]) for frame in one)
    assert not torch.equal(one, two) and not torch.equal(one, plain)
    still = VideoProcessor(settings(augmentation=None))
    assert torch.equal(still(shown(4), augment=True)["pixels"], plain)
    assert ImageAugmentation().flip == 0


def test_the_processor_pads_saves_and_loads(tmp_path):
    processor = VideoProcessor(settings(fit="crop"))
    batch = processor.pad([processor(shown(3)), None, processor(shown(1))])
    assert batch["pixels"].shape == (3, 3, 3, 16, 16) and batch["pixels"].dtype == torch.uint8
    assert batch["mask"].sum(dim=1).tolist() == [3, 0, 1]
    assert batch["seconds"][0].tolist() == pytest.approx([0, 0.2, 0.4])
    nobody = processor.pad([None])
    assert nobody["pixels"].shape == (1, 1, 3, 16, 16) and not nobody["mask"].any()
    processor.save(tmp_path)
    assert VideoProcessor.load(tmp_path).settings == processor.settings
    assert processor.decoding == {"rate": 5, "frames": 4, "size": 16, "fit": "crop"}


def walks(count: int, frames: int, generator: torch.Generator) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Films of a square that goes to the right (1) or to the left (0), from anywhere, round the edges."""
    label = torch.randint(0, 2, (count,), generator=generator)
    start = torch.randint(0, 16, (count,), generator=generator)
    row = torch.randint(0, 12, (count,), generator=generator)
    pixels = torch.full((count, frames, 3, 16, 16), 255, dtype=torch.uint8)
    for film in range(count):
        for frame in range(frames):
            x = int(start[film] + 3 * frame * (2 * label[film] - 1)) % 16
            columns = [(x + step) % 16 for step in range(4)]
            pixels[film, frame, :, row[film] : row[film] + 4, columns] = 0
    seconds = (torch.arange(frames) / 8.0).expand(count, -1)
    return {"pixels": pixels, "seconds": seconds, "mask": torch.ones(count, frames, dtype=torch.bool)}, label


def learn(config: VideoConfig, frames: int, steps: int):
    """An encoder with a linear layer, trained to tell the two walks apart."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    encoder = VideoFrames(config).train()
    head = nn.Linear(encoder.dim, 2)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=2e-3)
    for _ in range(steps):
        inputs, label = walks(32, frames, generator)
        loss = nn.functional.cross_entropy(head(encoder(inputs).pooled), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    encoder.eval()
    return lambda inputs: head(encoder(inputs).pooled).argmax(dim=1)


@pytest.mark.parametrize("over", ["transformer", "convolution"])
def test_order_in_time_is_read_and_only_from_order(over):
    config = VideoConfig(**SMALL, image=CONV, over=over, dropout=0.0)
    inputs, label = walks(300, 4, torch.Generator().manual_seed(2))
    decide = learn(config, 4, 60)
    with torch.no_grad():
        right = (decide(inputs) == label).float().mean()
        backwards = (decide(inputs | {"pixels": inputs["pixels"].flip(1)}) == label).float().mean()
        order = torch.stack([torch.randperm(4) for _ in range(300)])
        shuffled = inputs["pixels"][torch.arange(300)[:, None], order]
        scrambled = (decide(inputs | {"pixels": shuffled}) == label).float().mean()
    assert right > 0.95 and backwards < 0.05 and 0.35 < scrambled < 0.65
    alone, label = walks(300, 1, torch.Generator().manual_seed(3))
    decide = learn(config, 1, 20)
    with torch.no_grad():
        assert 0.4 < (decide(alone) == label).float().mean() < 0.6
