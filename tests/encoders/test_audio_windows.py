"""Long clips in several windows: what is read, that each is encoded by itself, absence, padding and chance."""

import numpy as np
import pytest
import torch

from sensorium.encoders.audio_conv import AudioConv, AudioConvConfig
from sensorium.encoders.audio_recurrent import AudioRecurrent, AudioRecurrentConfig
from sensorium.encoders.audio_windows import split_windows
from sensorium.encoders.pooling import add_order
from tests.encoders.test_audio_processor import clip

SHAPE = {"rate": 8000, "seconds": 0.5, "bands": 20, "width": 16}
ENCODERS = [
    (AudioConv, AudioConvConfig(**SHAPE, channels=8, windows=3)),
    (AudioRecurrent, AudioRecurrentConfig(**SHAPE, windows=3)),
]


def built(kind, config, **options):
    torch.manual_seed(0)
    return kind(config, **options).eval()


@pytest.mark.parametrize("length", [1, 9, 10, 11, 20, 21, 30, 31, 300])
def test_windows_go_evenly_from_beginning_to_end_and_cover_what_they_can(length):
    windows = split_windows(torch.arange(length), 10, 3)
    assert len(windows) == min(3, -(-length // 10))
    assert windows[0][0] == 0 and windows[-1][-1] == length - 1
    assert all(len(window) == min(10, length) for window in windows)
    assert len(torch.cat(windows).unique()) == min(length, 30)


@pytest.mark.parametrize("kind, config", ENCODERS)
@torch.no_grad()
def test_each_window_is_encoded_by_itself_and_tokens_follow_in_time(kind, config):
    encoder = built(kind, config)
    sound = clip(1.5)
    inputs = encoder.processor.pad([encoder.processor(sound)])
    said = encoder(inputs)
    parts = [encoder(encoder.processor.pad([encoder.processor(sound[i : i + 4000])])) for i in (0, 4000, 8000)]
    torch.testing.assert_close(said.tokens, torch.cat([part.tokens for part in parts], dim=1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(said.pooled, sum(part.pooled for part in parts) / 3, rtol=1e-5, atol=1e-5)
    assert said.mask.all()
    short = built(kind, config, summary_only=True)(inputs)
    assert short.tokens.shape == (1, 1, 16)
    torch.testing.assert_close(short.pooled, said.pooled)


@torch.no_grad()
def test_the_order_of_tokens_goes_on_from_window_to_window():
    config = ENCODERS[0][1]
    placed, plain = (built(AudioConv, config.model_copy(update={"positions": given})) for given in (True, None))
    inputs = plain.processor.pad([plain.processor(clip(1.5))])
    assert torch.equal(placed(inputs).tokens, add_order(plain(inputs).tokens))


@pytest.mark.parametrize("kind, config", ENCODERS)
@torch.no_grad()
def test_a_clip_alone_equals_the_clip_beside_longer_ones(kind, config):
    encoder = built(kind, config)
    items = [encoder.processor(clip(seconds, seed=i)) for i, seconds in enumerate((0.2, 0.5, 0.7, 5.0))]
    together = encoder(encoder.processor.pad(items))
    assert together.mask.any(dim=1).all()
    for row, item in enumerate(items):
        alone = encoder(encoder.processor.pad([item]))
        count = alone.tokens.shape[1]
        torch.testing.assert_close(together.tokens[row : row + 1, :count], alone.tokens, rtol=1e-5, atol=1e-5)
        assert not together.mask[row, count:].any() and not together.tokens[row, count:].any()
        torch.testing.assert_close(together.pooled[row : row + 1], alone.pooled, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind, config", ENCODERS)
@torch.no_grad()
def test_windows_hear_what_the_loudest_span_leaves_out(kind, config):
    before, quiet = [clip(0.5), np.zeros(4000, np.float32)], 0.1 * clip(0.5, seed=1)
    quiet_end, other_end = np.concatenate([*before, quiet]), np.concatenate([*before, quiet[::-1]])
    for windows, heard in ((1, False), (2, True)):
        encoder = built(kind, config.model_copy(update={"windows": windows}))
        said = [encoder(encoder.processor.pad([encoder.processor(sound)])).pooled for sound in (quiet_end, other_end)]
        assert torch.equal(*said) is not heard


@pytest.mark.parametrize("kind, config", ENCODERS)
def test_every_parameter_learns_from_windows_of_changed_clips(kind, config):
    encoder = built(kind, config).train()
    items = [encoder.processor(clip(seconds, seed=i), augment=True) for i, seconds in enumerate((0.3, 0.55, 1.2, 9.0))]
    assert all(len(item["spectrogram"]) % encoder.processor.frames == 0 for item in items[2:])
    said = encoder(encoder.processor.pad([*items, None]))
    assert not said.mask[4].any() and not said.pooled[4].any()
    (said.pooled[:4] * torch.randn(4, 16)).sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()] == []
