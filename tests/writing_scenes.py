"""Tiny decoders of Transformers with random weights, as our heads have them, and what they read."""

from typing import Any

import torch
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    GPT2Config,
    LlamaConfig,
    MarianConfig,
    PreTrainedModel,
    T5Config,
)

from sensorium.data.targets.tokens import Tokens
from sensorium.features import Features
from sensorium.heads.causal import Causal, CausalConfig
from sensorium.heads.seq2seq import Seq2Seq, Seq2SeqConfig
from sensorium.nn.hub import architecture_of

WORDS, START, END, PAD, LONGEST = 41, 1, 2, 3, 12
ENDS = (END, 7, 13, 17, 23, 31)  # so that texts end at different steps
SPECIAL = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": PAD, "vocab_size": WORDS}
ATTENDING = SPECIAL | {
    "decoder_start_token_id": START,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 64,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
}
CONFIGS: dict[str, Any] = {
    "bart": BartConfig(**ATTENDING),
    "bart_scaled": BartConfig(**ATTENDING, scale_embedding=True, activation_function="relu"),
    "marian": MarianConfig(**ATTENDING, scale_embedding=True, activation_function="swish"),
    "t5": T5Config(
        **SPECIAL, decoder_start_token_id=START, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_decoder_layers=2,
        num_heads=4, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    ),
    "llama": LlamaConfig(
        **SPECIAL, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
    ),
    "llama_biased": LlamaConfig(
        **SPECIAL, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, head_dim=6, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
    ),
    "gpt2": GPT2Config(**SPECIAL, n_embd=16, n_layer=2, n_head=4, n_positions=64),
}  # fmt: skip
SEQ2SEQ = ("bart", "bart_scaled", "marian", "t5")
NOISE = {"bart": 0.3, "bart_scaled": 0.3, "marian": 0.3, "t5": 0.1, "llama": 0.3, "llama_biased": 0.3, "gpt2": 0.3}
CAUSAL = ("llama", "llama_biased", "gpt2")


def tokens_of(words: int = WORDS, max_tokens: int = LONGEST) -> Tokens:
    """A tokenizer of whole words, w4 and on."""
    vocabulary = {f"w{number}": number for number in range(words)}
    return Tokens(Tokenizer(models.WordLevel(vocabulary, unk_token="w0")), START, ENDS, PAD, max_tokens)


def published(name: str) -> PreTrainedModel:
    """The tiny model of that name, of random weights wide enough that its texts differ."""
    torch.manual_seed(0)
    kind = AutoModelForSeq2SeqLM if name in SEQ2SEQ else AutoModelForCausalLM
    model = kind.from_config(CONFIGS[name], dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * NOISE[name])
    model.generation_config.eos_token_id = list(ENDS)
    return model


def head_of(name: str, model: PreTrainedModel | None = None, dim: int = 16, **options: Any) -> nn.Module:
    """Our head with the weights of `model`, or its own random ones."""
    kind, config = (Seq2Seq, Seq2SeqConfig) if name in SEQ2SEQ else (Causal, CausalConfig)
    options = {"model": name, "architecture": architecture_of(CONFIGS[name]), "max_tokens": LONGEST} | options
    return kind(config(**options), dim, tokens_of(), model).eval()


def rows(count: int = 20, dim: int = 16, longest: int = 7, seed: int = 1) -> Features:
    """Fused tokens of `count` rows of different lengths, with padding between and noise in it; none is empty."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(count, longest, generator=generator) < 0.6
    mask[torch.arange(count), torch.randint(longest, (count,), generator=generator)] = True
    tokens = torch.randn(count, longest, dim, generator=generator)
    return Features(tokens, mask, torch.zeros(count, dim))


def alone(fused: Features, row: int) -> Features:
    """One row by itself, without its padding."""
    real = fused.mask[row]
    return Features(fused.tokens[row : row + 1, real], fused.mask[row : row + 1, real], fused.pooled[row : row + 1])


def compact(fused: Features, left: bool) -> tuple[Tensor, Tensor]:
    """The tokens of `fused`, float [B, T, D], zero at padding, which is on the left or the right; int64 [B, T]."""
    order = fused.mask.int().argsort(dim=1, stable=True, descending=not left)
    mask = fused.mask.gather(1, order)
    tokens = fused.tokens.gather(1, order[..., None].expand_as(fused.tokens))
    return torch.where(mask[..., None], tokens, 0.0), mask.long()
