"""Whisper in CTranslate2's format as a model of the Transformers library."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from sensorium.errors import UserError
from sensorium.nn.ctranslate2 import read_ctranslate2

MODEL_FILE, VOCABULARY_FILE = "model.bin", "vocabulary.txt"
CONFIG_FILE, TOKENIZER_FILE = "config.json", "tokenizer.json"
_CHUNK = 30  # seconds that Whisper was trained on
# Our names of a layer's parts, CTranslate2's, and the projections that stand in one matrix there.
_LINEAR = {
    "self_attn.": ("self_attention/linear_0", ("q_proj", "k_proj", "v_proj")),
    "self_attn.out_proj": ("self_attention/linear_1", ("",)),
    "encoder_attn.q_proj": ("attention/linear_0", ("",)),
    "encoder_attn.": ("attention/linear_1", ("k_proj", "v_proj")),
    "encoder_attn.out_proj": ("attention/linear_2", ("",)),
    "fc1": ("ffn/linear_0", ("",)),
    "fc2": ("ffn/linear_1", ("",)),
}
_NORMS = {
    "self_attn_layer_norm": "self_attention/layer_norm",
    "encoder_attn_layer_norm": "attention/layer_norm",
    "final_layer_norm": "ffn/layer_norm",
}


def load_whisper(folder: Path) -> tuple[WhisperForConditionalGeneration, WhisperFeatureExtractor]:
    """Whisper in float32 from the model.bin in `folder`, and what prepares its sound. Raises UserError when the file
    cannot be read, is damaged or holds another model."""
    path = folder / MODEL_FILE
    try:
        arrays = read_ctranslate2(path)
        config = _config(arrays)
        with torch.device("meta"):  # random weights would be replaced at once
            model = WhisperForConditionalGeneration(config)
        state = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in _state(arrays, config)}
        model.load_state_dict(state, assign=True)
    except (OSError, ValueError) as error:
        raise UserError(f"The speech encoder {path} cannot be loaded: {error}.") from error
    except (KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path} holds no Whisper model of CTranslate2 ({reason}); name another.") from error
    model.tie_weights()
    return model.eval(), WhisperFeatureExtractor(feature_size=config.num_mel_bins, chunk_length=_CHUNK)


def _config(arrays: dict[str, np.ndarray]) -> WhisperConfig:
    """The model's sizes, from the shapes of its arrays. Raises KeyError when one is missing."""
    width, bands, _ = arrays["encoder/conv1/weight"].shape
    vocabulary = len(arrays["decoder/embeddings/weight"])
    sizes: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        layers = {name.split("/")[1] for name in arrays if name.startswith(f"{side}/layer_")} - {"layer_norm"}
        sizes[f"{side}_layers"] = len(layers)
        sizes[f"{side}_attention_heads"] = int(arrays[f"{side}/num_heads"])
        sizes[f"{side}_ffn_dim"] = len(arrays[f"{side}/layer_0/ffn/linear_0/bias"])
    # The numbers of special tokens matter to generation alone; these lie within any vocabulary.
    tokens = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    return WhisperConfig(
        vocab_size=vocabulary, num_mel_bins=bands, d_model=width,
        max_source_positions=len(arrays["encoder/position_encodings/encodings"]),
        max_target_positions=len(arrays["decoder/position_encodings/encodings"]), **sizes, **tokens,
    )  # fmt: skip


def _state(arrays: dict[str, np.ndarray], config: WhisperConfig) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays under the names of Transformers. Raises KeyError when one is missing."""
    for side, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        for layer in range(layers):
            yield from _layer(arrays, f"{side}/layer_{layer}/", f"model.{side}.layers.{layer}.", side == "decoder")
        yield from _norm(arrays, f"{side}/layer_norm", f"model.{side}.layer_norm")
        yield f"model.{side}.embed_positions.weight", arrays[f"{side}/position_encodings/encodings"]
    for name in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            yield f"model.encoder.{name}.{kind}", arrays[f"encoder/{name}/{kind}"]
    for name in ("model.decoder.embed_tokens.weight", "proj_out.weight"):
        yield name, arrays["decoder/embeddings/weight"]


def _layer(arrays: dict[str, np.ndarray], source: str, name: str, crosses: bool) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of one layer; crosses: whether it attends to the encoder as well."""
    for linear, (stem, projections) in _LINEAR.items():
        if crosses or not linear.startswith("encoder_attn"):
            for kind in ("weight", "bias"):
                blocks = np.split(arrays[f"{source}{stem}/{kind}"], len(projections))
                for projection, block in zip(projections, blocks, strict=True):
                    if (projection, kind) != ("k_proj", "bias"):  # Whisper's keys have none, it is zero there
                        yield f"{name}{linear}{projection}.{kind}", block
    for norm, stem in _NORMS.items():
        if crosses or not norm.startswith("encoder_attn"):
            yield from _norm(arrays, source + stem, name + norm)


def _norm(arrays: dict[str, np.ndarray], source: str, name: str) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{name}.weight", arrays[f"{source}/gamma"]
    yield f"{name}.bias", arrays[f"{source}/beta"]
