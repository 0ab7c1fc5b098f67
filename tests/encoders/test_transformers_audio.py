"""Speech encoders of the Transformers library, tiny and random, against the library called plainly."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    AutoModel,
    BertConfig,
    HubertConfig,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
)

import sensorium.model
from sensorium.encoders.transformers_audio import TransformersAudio, TransformersAudioConfig
from sensorium.errors import UserError
from sensorium.model import Model

RATE = 16000
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WAVES = SIZE | {
    "conv_dim": (16, 16, 16), "conv_kernel": (10, 3, 3), "conv_stride": (20, 4, 2), "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.5, "mask_time_prob": 0.5,
}  # fmt: skip
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
WHISPER = WhisperConfig(
    d_model=32, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32, decoder_layers=1, decoder_ffn_dim=32,
    decoder_attention_heads=2, max_source_positions=100, num_mel_bins=20, vocab_size=40, pad_token_id=0, bos_token_id=1,
    eos_token_id=2, decoder_start_token_id=1, encoder_layerdrop=0.5,
)  # fmt: skip
PLAIN = Wav2Vec2FeatureExtractor(sampling_rate=RATE)
KINDS = {
    "whisper": (WHISPER, WhisperFeatureExtractor(feature_size=20, chunk_length=2)),
    "wav2vec2": (Wav2Vec2Config(**WAVES, feat_extract_norm="group"), PLAIN),
    "wav2vec2 by layer": (Wav2Vec2Config(**WAVES, **LAYER), PLAIN),
    "wav2vec2 with adapter": (Wav2Vec2Config(**WAVES, **LAYER, add_adapter=True, output_hidden_size=24), PLAIN),
    "hubert": (HubertConfig(**WAVES, feat_extract_norm="group"), PLAIN),
    "hubert by layer": (HubertConfig(**WAVES, **LAYER), PLAIN),
    "wavlm": (WavLMConfig(**WAVES, **LAYER), PLAIN),
    "wav2vec2-bert": (
        Wav2Vec2BertConfig(**SIZE, feature_projection_input_dim=40, mask_time_prob=0.5),
        SeamlessM4TFeatureExtractor(feature_size=20, num_mel_bins=20),
    ),
    "ast": (
        ASTConfig(**SIZE, max_length=128, num_mel_bins=32, patch_size=16, frequency_stride=16, time_stride=16),
        ASTFeatureExtractor(max_length=128, num_mel_bins=32),
    ),
}


def save(kind: str, folder: Path) -> Path:
    config, extractor = KINDS[kind]
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory) -> Path:
    """A tiny random model of each kind, saved as the hub would hold it."""
    return save(request.param, tmp_path_factory.mktemp("speech"))


def build(folder: Path | str, summary_only: bool = False, **settings) -> TransformersAudio:
    config = TransformersAudioConfig(model=str(folder), **{"seconds": 1.5} | settings)
    return TransformersAudio.build(config, [], {}, summary_only).eval()


def clips() -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [chance.standard_normal(length).astype(np.float32) * 0.1 for length in (9000, 1, 2500, 16001, 9000, 4321)]


def batch(encoder: TransformersAudio, clips: list) -> dict[str, torch.Tensor]:
    return encoder.processor.pad([None if clip is None else encoder.processor(clip) for clip in clips])


@torch.no_grad()
def test_it_gives_what_transformers_gives(folder):
    encoder = build(folder)
    extractor = KINDS_BY[encoder.body.config.model_type]
    model = AutoModel.from_pretrained(folder).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    said = encoder(batch(encoder, clips()))
    for row, clip in enumerate(clips()):
        clip = np.pad(clip, (0, max(0, 1600 - len(clip))))  # [S]
        given = extractor(clip, sampling_rate=RATE, return_tensors="pt")
        expected = model(**given).last_hidden_state[0]
        count = int(said.mask[row].sum())
        if encoder.whole:  # a token is two frames, and 10 ms of sound a frame
            assert count == math.ceil(math.ceil(len(clip) / 160) / 2)
        else:
            assert count == int(given.get("attention_mask", torch.ones(len(expected))).sum())
        torch.testing.assert_close(said.tokens[row, :count], expected[:count], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(said.pooled[row], expected[:count].mean(dim=0), rtol=1e-4, atol=1e-4)


KINDS_BY = {config.model_type: extractor for config, extractor in KINDS.values()}


@torch.no_grad()
def test_a_clip_alone_equals_the_clip_in_a_padded_batch_and_padding_is_not_read(folder):
    encoder = build(folder)
    inputs = batch(encoder, clips())
    together = encoder(inputs)
    for row, clip in enumerate(clips()):
        alone = encoder(batch(encoder, [clip]))
        length = alone.tokens.shape[1]
        assert together.mask[row].sum() == length
        torch.testing.assert_close(alone.tokens[0], together.tokens[row, :length], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(alone.pooled[0], together.pooled[row], rtol=1e-5, atol=1e-5)
        assert not together.tokens[row, length:].any()
    if not encoder.whole:
        mask = inputs["mask"].view(*inputs["mask"].shape, *[1] * (inputs["values"].ndim - 2))
        noised = encoder(inputs | {"values": torch.where(mask, inputs["values"], 1000.0)})
        torch.testing.assert_close(noised.pooled, together.pooled, rtol=1e-5, atol=1e-5)


def test_in_training_every_parameter_has_a_gradient_and_only_torch_draws(folder):
    encoder = build(folder).train()
    inputs = batch(encoder, clips())
    said = []
    for _ in range(2):
        torch.manual_seed(0)
        encoder.zero_grad()
        features = encoder(inputs)
        (features.pooled * torch.arange(encoder.dim)).sum().backward()
        weights = [(name, weight) for name, weight in encoder.named_parameters() if weight.requires_grad]
        assert [name for name, weight in weights if weight.grad is None] == []
        said.append(features.pooled)
    assert torch.equal(*said)


@torch.no_grad()
def test_a_checkpoint_needs_the_source_no_more(folder, tmp_path):
    encoder = build(folder)
    inputs = batch(encoder, clips())
    Model({"voice": encoder}).save(tmp_path / "model")
    described = json.loads((tmp_path / "model" / "model.json").read_text())
    assert str(folder) not in json.dumps(described["encoders"][0]["config"]["architecture"])
    assert str(folder) not in (tmp_path / "model" / "processors" / "0" / "preprocessor_config.json").read_text()
    again = sensorium.model.load(tmp_path / "model").encoders["voice"]
    for one, two in zip(again(batch(again, clips())), encoder(inputs), strict=True):
        assert torch.equal(one, two)
    brief = build(folder, summary_only=True)(inputs)
    assert torch.equal(brief.pooled, encoder(inputs).pooled) and brief.tokens.shape == (6, 1, encoder.dim)
    assert not any(weight.is_meta for weight in [*encoder.parameters(), *encoder.buffers()])
    copy = pickle.loads(pickle.dumps(encoder.processor))
    assert torch.equal(copy(clips()[0])["values"], encoder.processor(clips()[0])["values"])


def test_absent_rows_reach_no_encoder_and_a_batch_of_them_can_be_trained_on(folder):
    encoder = build(folder)
    model = Model({"voice": encoder}).eval()
    with torch.no_grad():
        said = model.encode({"voice": batch(encoder, [None, clips()[0], None])})["voice"]
        alone = encoder(batch(encoder, [clips()[0]]))
    assert said.present.tolist() == [False, True, False] and torch.equal(said.pooled[1:2], alone.pooled)
    nothing = model.train().encode({"voice": batch(encoder, [None, None])})["voice"]
    assert not nothing.present.any() and not nothing.pooled.any()
    nothing.pooled.sum().backward()


def test_spans_rate_and_augmentation(tmp_path):
    whisper = build(save("whisper", tmp_path / "whisper"), seconds=10.0)
    assert whisper.config.seconds == 2 and whisper.processor.decoding == {"rate": RATE}
    waves = build(save("wav2vec2", tmp_path / "waves"), seconds=0.5)
    clip = np.concatenate([clips()[0] * 0.01, clips()[0]])
    assert waves.processor(clip)["values"].shape == (8000,)
    torch.testing.assert_close(
        waves.processor(clip)["values"].std(), torch.tensor(1.0), rtol=1e-3, atol=1e-3
    )  # the extractor's own normalisation
    assert build(tmp_path / "waves", seconds=None).config.seconds == 10.0
    torch.manual_seed(0)
    one = waves.processor(clip, augment=True)["values"]
    two = waves.processor(clip, augment=True)["values"]
    torch.manual_seed(0)
    assert torch.equal(waves.processor(clip, augment=True)["values"], one)
    assert one.shape != two.shape or not torch.equal(one, two)


def test_models_that_cannot_be_used_are_sentences(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"no folder '\./nowhere' with a speech encoder"):
        build("./nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="speech encoder .* cannot be loaded"):
        build(tmp_path / "empty")
    AutoModel.from_config(BertConfig(**SIZE, vocab_size=8)).save_pretrained(tmp_path / "bert")
    with pytest.raises(UserError, match=r"\(bert\) does not read sound alone"):
        build(tmp_path / "bert")
    bare = save("whisper", tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match="cannot be loaded"):
        build(bare)
    other = save("whisper", tmp_path / "other")
    KINDS["wav2vec2"][1].save_pretrained(other)
    with pytest.raises(UserError, match="does not read sound alone"):
        build(other)
    with pytest.raises(UserError, match="not known"):
        TransformersAudio(TransformersAudioConfig(model="some/model"))


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch):
    asked = []

    class Session:
        def head(self, url: str, timeout: float):
            asked.append(timeout)
            raise ConnectionError("no route")

    monkeypatch.setattr("sensorium.nn.hub.get_session", Session)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(UserError, match="'nobody/no-such-model' cannot be loaded .*does not answer"):
        build("nobody/no-such-model")
    assert asked == [5.0]
