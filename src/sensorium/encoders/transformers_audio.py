"""Any speech encoder of the Transformers library, by hub name or from a local folder."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedModel

from sensorium.encoders.audio_augmentation import AudioAugmentation
from sensorium.encoders.audio_processor import LEAST_SECONDS, seconds_of
from sensorium.encoders.pooling import Pooling, as_features, pool_thirds, summarise
from sensorium.encoders.speech_processor import SpeechProcessor
from sensorium.encoders.whisper import read_window, shorten
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.nn.hub import FAILURES, architecture_of, encoder_of, load, load_weights
from sensorium.nn.packs import resolve
from sensorium.nn.whisper import MODEL_FILE, load_whisper

WHAT = "speech encoder"
WHOLE = {"whisper"}  # reads one span of fixed length, with its silence; `shorten` sets how long
# Of these, the models that normalise each frame by itself ignore padding if they get its mask.
MASKED = {"wav2vec2", "hubert", "data2vec-audio", "unispeech", "unispeech-sat"}
# Random steps of the models in training: masks drawn by NumPy, which no seed of a run reaches, and layers that are
# skipped and then have no gradient.
STILL = {"apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0, "layerdrop": 0.0}
STILL |= {"encoder_layerdrop": 0.0}


class TransformersAudioConfig(BaseModel, frozen=True, extra="forbid"):
    """A pretrained speech encoder.

    model:        its name on the Hugging Face hub, the folder that holds it, in Transformers' format or a Whisper in
                  CTranslate2's (model.bin), or `whisper-tiny.en`, which a package brings.
    architecture: its Transformers configuration; `build` fills it, so that our checkpoint does not need the source.
    pooling:      the summary is the mean of the tokens, the first or the last, or, side by side, the means of a clip's
                  first, second and last third, which keep the order of its sounds.
    seconds:      a longer clip is cut to its loudest span of that length; None lets `build` take the 95th percentile,
                  at most 30. Never more than the model reads.
    silence:      seconds of it that Whisper, which reads one span of fixed length, reads after `seconds`; with more of
                  it the words of short clips are told apart better.
    own_window:   of Whisper: each clip is read in a window of its own, as long as the clip and `silence`, and all of it
                  counts, as Whisper's decoder wants it; `seconds` is then what Whisper was trained on.
    augmentation: of training clips: speed, shift, gain, noise and, of a spectrogram, the masks of AudioAugmentation;
                  None for none."""

    model: str
    architecture: dict[str, Any] | None = None
    pooling: Pooling | Literal["thirds"] = "mean"
    seconds: float | None = Field(None, gt=0, le=3600)
    silence: float = Field(0.5, ge=0, le=30, exclude_if=(0.5).__eq__)
    own_window: bool = Field(False, exclude_if=(False).__eq__)
    augmentation: AudioAugmentation | None = AudioAugmentation()


class TransformersAudio(nn.Module):
    """The encoder of a Transformers speech model: Whisper's (without its decoder), wav2vec 2.0, HuBERT, WavLM, ...

    A clip in a batch gives what it gives alone: models that see padding read clips of one length together. The
    constructor gives random weights in the config's architecture; `build` loads the pretrained ones. Code that comes
    with a model is never run, and weights are read from safetensors only. Raises UserError without architecture."""

    Config = TransformersAudioConfig
    Processor = SpeechProcessor
    modality = "audio"
    pretrained = True

    def __init__(
        self, config: TransformersAudioConfig, processor: SpeechProcessor | None = None, summary_only: bool = False
    ):
        super().__init__()
        if config.architecture is None:
            raise UserError(f"The architecture of '{config.model}' is not known; build the encoder, which reads it.")
        self.config, self.processor, self.summary_only = config, processor, summary_only
        architecture = AutoConfig.for_model(**config.architecture)
        if config.own_window and architecture.model_type not in WHOLE:
            raise UserError(
                f"own_window is of Whisper, and '{config.model}' is {architecture.model_type}; leave it out."
            )
        self.body = encoder_of(AutoModel.from_config(architecture, dtype=torch.float32, trust_remote_code=False))
        adapted = getattr(architecture, "add_adapter", False)
        width: int = architecture.output_hidden_size if adapted else architecture.hidden_size
        self.dim = width * (3 if config.pooling == "thirds" else 1)
        layered = getattr(architecture, "feat_extract_norm", None) == "layer" and not adapted
        self.masked = architecture.model_type in MASKED and layered
        self.whole = architecture.model_type in WHOLE and not config.own_window

    @classmethod
    def build(
        cls, config: TransformersAudioConfig, values: Iterable[Any], facts: dict[str, float], summary_only: bool = False
    ) -> "TransformersAudio":
        """The pretrained encoder; unstated seconds are taken from `facts`, `values` are not read. Raises UserError when
        it cannot be loaded or is no speech encoder."""
        pretrained, extractor = _load(config.model)
        architecture = pretrained.config
        longest = getattr(extractor, "chunk_length", None) or math.inf
        seconds = min(config.seconds or (float(longest) if config.own_window else seconds_of(facts)), longest)
        try:
            silence = config.silence if config.own_window else None
            if not config.own_window and architecture.model_type in WHOLE:
                extractor = shorten(pretrained.get_encoder(), extractor, seconds + config.silence)
            update = {"architecture": architecture_of(architecture), "seconds": seconds}
            config = config.model_copy(update=update)
            shortest = _shortest(extractor, architecture)
            processor = SpeechProcessor(extractor, seconds, shortest, config.augmentation, silence)
            with torch.device("meta"):  # random weights would be replaced at once
                encoder = cls(config, processor, summary_only)
            encoder.body = encoder_of(pretrained)
            encoder._check_reads_sound()
        except FAILURES as error:
            raise _no_speech(config.model, architecture) from error
        return encoder

    @torch.no_grad()
    def _check_reads_sound(self) -> None:
        """Reads a short clip. Raises one of FAILURES when this encoder cannot run the model."""
        training = self.training
        tokens = self.eval()(self.processor.pad([self.processor(np.zeros(1, np.float32))])).tokens
        self.train(training)
        if tokens.shape[-1] != self.dim:
            raise ValueError(f"tokens of width {tokens.shape[-1]}, not {self.dim}")

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`values` float [B, ...] and `mask` bool [B, F] -> Features of the T tokens of the longest clip (or one)."""
        tokens, lengths = self._run(inputs["values"], inputs["mask"])
        tokens = tokens[:, : int(lengths.max())]
        mask = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        if self.config.pooling != "thirds":
            return summarise(tokens, mask, self.config.pooling, self.summary_only)
        pooled = pool_thirds(tokens, lengths)  # [B, 3 D]
        padded = nn.functional.pad(torch.where(mask[:, :, None], tokens.float(), 0.0), (0, self.dim - tokens.shape[-1]))
        return as_features(padded, mask, pooled, self.summary_only)

    def _run(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """values [B, ...], mask bool [B, F] -> tokens [B, T, D], and int64 [B], how many of them are of the clip."""
        lengths = mask.sum(dim=1)
        if self.whole:
            tokens = self._tokens(values)
            return tokens, -(-lengths * tokens.shape[1] // mask.shape[1])
        if self.masked:
            tokens = self._tokens(values, attention_mask=mask.long())
            return tokens, self.body._get_feat_extract_output_lengths(lengths)
        # A model that sees padding reads clips of one length together, without any.
        rows: dict[int, Tensor] = {}
        for length in lengths.unique().tolist():
            same_length = (lengths == length).nonzero()[:, 0]  # [rows of this length]
            rows |= zip(same_length.tolist(), self._tokens(values[same_length, :length]), strict=True)
        tokens = [rows[row] for row in range(len(lengths))]
        counts = torch.tensor([len(clip_tokens) for clip_tokens in tokens], device=values.device)
        return pad_sequence(tokens, batch_first=True), counts

    def _tokens(self, values: Tensor, **options: Tensor) -> Tensor:
        if self.config.own_window:
            return read_window(self.body, values)
        return self.body(**{self.body.main_input_name: values}, **options).last_hidden_state  # [B, T, D]


def _load(source: str) -> tuple[PreTrainedModel, Any]:
    """The whole model of `source` and its feature extractor. Raises UserError when it does not read sound alone."""
    folder = Path(resolve(source))
    if (folder / MODEL_FILE).is_file():
        return load_whisper(folder)
    architecture = load(AutoConfig, source, WHAT)
    architecture.update({name: value for name, value in STILL.items() if hasattr(architecture, name)})
    pretrained = load_weights(source, WHAT, config=architecture)
    if pretrained.main_input_name not in ("input_values", "input_features"):
        raise _no_speech(source, architecture)
    return pretrained, load(AutoFeatureExtractor, source, WHAT)


def _shortest(extractor: Any, architecture: Any) -> int:
    """Samples of the shortest clip the model's convolutions give a token for, but at least LEAST_SECONDS."""
    field = 1
    kernels, strides = getattr(architecture, "conv_kernel", ()), getattr(architecture, "conv_stride", ())
    for kernel, stride in reversed(list(zip(kernels, strides, strict=True))):
        field = (field - 1) * stride + kernel
    return max(field, round(LEAST_SECONDS * extractor.sampling_rate))


def _no_speech(source: str, architecture: Any) -> UserError:
    model_type = architecture.model_type
    return UserError(
        f"The model '{source}' ({model_type}) does not read sound alone; choose a speech encoder, as Whisper or"
        " wav2vec 2.0."
    )
