"""The sound encoder: padding never leaks, a clip alone is the clip in a batch, all is trained, all is saved."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sensorium.encoders.audio_conv import AudioConv, AudioConvConfig
from sensorium.encoders.audio_processor import seconds_of
from sensorium.errors import UserError


def small(quick: bool = False, positions: bool | None = None, **options) -> AudioConv:
    torch.manual_seed(0)
    shape = {"rate": 8000, "seconds": 1.0, "bands": 20, "channels": 8, "width": 32, "depth": 2, "quick": quick}
    shape["positions"] = positions
    return AudioConv(AudioConvConfig(**shape), **options)


def clips(lengths: list[int], bands: int = 20) -> dict[str, torch.Tensor]:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return {"spectrogram": torch.randn(len(lengths), max(lengths), bands) * mask[:, :, None], "mask": mask}


@pytest.mark.parametrize(("quick", "positions", "frames"), [(False, None, 4), (False, True, 4), (True, None, 8)])
@torch.no_grad()
def test_a_clip_alone_equals_the_clip_in_a_padded_batch(quick, positions, frames):
    encoder, lengths = small(quick, positions).eval(), [1, 2, 3, 6, 7, 8, 9, 30, 61]
    inputs = clips(lengths)
    together = encoder(inputs)
    assert together.mask.sum(dim=1).tolist() == [-(-length // frames) for length in lengths]
    for row, length in enumerate(lengths):
        alone = encoder({name: value[row : row + 1, :length] for name, value in inputs.items()})
        count = alone.tokens.shape[1]
        torch.testing.assert_close(together.tokens[row : row + 1, :count], alone.tokens, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(together.pooled[row : row + 1], alone.pooled, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("noise", [1000.0, float("nan"), float("inf")])
def test_noise_in_the_padding_changes_no_bit_and_no_gradient(noise, quick):
    encoder, inputs = small(quick=quick).eval(), clips([5, 17, 40])
    soiled = inputs | {"spectrogram": torch.where(inputs["mask"][:, :, None], inputs["spectrogram"], noise)}
    weights = {}
    for name, value in (("clean", inputs), ("soiled", soiled)):
        encoder.zero_grad()
        said = encoder(value)
        (said.pooled.sum() + said.tokens.square().sum()).backward()
        weights[name] = [*said, *(weight.grad.clone() for weight in encoder.parameters())]
    assert all(torch.equal(one, two) for one, two in zip(weights["clean"], weights["soiled"], strict=True))


@torch.no_grad()
def test_tokens_of_a_new_encoder_say_when_they_come():
    new = AudioConv.build(AudioConvConfig(rate=8000, seconds=1.0), [], {}).eval()
    old = AudioConv(AudioConvConfig(rate=8000, seconds=1.0)).eval()
    old.load_state_dict(new.state_dict())
    assert new.config.positions and not old.config.positions
    inputs = clips([60, 90], bands=40)
    placed, plain = new(inputs), old(inputs)
    assert torch.equal(placed.pooled, plain.pooled)
    shift = placed.tokens - plain.tokens
    assert not shift[~placed.mask].any()
    shift = shift / plain.tokens.square().mean(dim=2, keepdim=True).sqrt().clamp(min=1e-9)
    assert torch.allclose(shift[0, :15], shift[1, :15], atol=1e-4)  # the same in every clip, however long
    order = shift[1] / shift[1].norm(dim=1, keepdim=True)
    alike = order @ order.T
    assert alike.diagonal(1).min() > alike.diagonal(12).max()
    assert alike[~torch.eye(len(alike), dtype=torch.bool)].max() < 0.99


def test_masked_tokens_are_zero_and_pooled_is_half_mean_and_half_maximum():
    encoder = small().eval()
    said = encoder(clips([9, 40]))
    assert not said.tokens[0, 3:].any()
    real = said.tokens[0, :3]
    torch.testing.assert_close(said.pooled[0], (real.mean(dim=0) + real.amax(dim=0)) / 2)


def test_every_parameter_gets_a_gradient_from_the_summary():
    encoder = small().train()
    said = encoder(clips([20, 31, 40]))
    (said.pooled * torch.randn_like(said.pooled)).sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@torch.no_grad()
def test_summary_only_and_rebuilding_from_the_config(tmp_path):
    encoder, inputs = small().eval(), clips([9, 40])
    encoder.processor.save(tmp_path)
    config = AudioConvConfig.model_validate_json(encoder.config.model_dump_json())
    other = AudioConv(config, AudioConv.Processor.load(tmp_path), summary_only=True).eval()
    other.load_state_dict(encoder.state_dict())
    said = other(inputs)
    assert torch.equal(said.pooled, encoder(inputs).pooled)
    assert said.tokens.shape == (2, 1, 32)
    assert other.processor.settings == encoder.processor.settings


@pytest.mark.parametrize("bands", [8, 13, 40, 63, 64])
@torch.no_grad()
def test_any_number_of_bands(bands):
    encoder = AudioConv(AudioConvConfig(rate=8000, seconds=1.0, bands=bands, channels=4)).eval()
    assert encoder(clips([40], bands)).pooled.shape == (1, encoder.dim)


@torch.no_grad()
def test_under_autocast_it_stays_near_and_sums_in_float32():
    encoder, inputs = small().eval(), clips([9, 40])
    plain = encoder(inputs).pooled
    with torch.autocast("cpu", torch.bfloat16):
        said = encoder(inputs)
    assert said.tokens.dtype == said.pooled.dtype == torch.float32
    torch.testing.assert_close(said.pooled, plain, rtol=0.1, atol=0.1)


def test_rate_and_seconds_come_from_the_data_unless_stated():
    facts = {"rate": 8000.0, "seconds": 0.517, "records": 10.0}
    built = AudioConv.build(AudioConvConfig(), [], facts)
    assert (built.config.rate, built.config.seconds) == (8000, 0.52)
    assert built.processor.decoding == {"rate": 8000}
    music = AudioConv.build(AudioConvConfig(seconds=3.0), [], {"rate": 44100.0, "seconds": 200.0})
    assert (music.config.rate, music.config.seconds) == (16000, 3.0)
    with pytest.raises(UserError, match="'rate' and 'seconds'"):
        AudioConv(AudioConvConfig())


def test_what_is_written_of_a_clip_needs_all_of_it():
    facts = {"rate": 8000.0, "seconds": 2.0, "longest": 3.004, "whole": 1.0}
    assert AudioConv.build(AudioConvConfig(), [], facts).config.seconds == 30
    assert AudioConv.build(AudioConvConfig(), [], facts | {"longest": 61.5}).config.seconds == 61.5
    assert AudioConv.build(AudioConvConfig(seconds=5), [], facts).config.seconds == 5
    assert seconds_of(facts) == 3.01 and seconds_of(facts | {"longest": 40.0}) == 30


def test_a_quick_one_costs_half_as_much():
    operations = {}
    for quick in (True, False):
        encoder = AudioConv.build(AudioConvConfig(quick=quick), [], {"rate": 8000.0, "seconds": 0.5})
        with FlopCounterMode(display=False) as counter:
            encoder(clips([50, 50], 40)).pooled.sum().backward()
        operations[quick] = counter.get_total_flops()
    assert operations[True] < 0.55 * operations[False]
