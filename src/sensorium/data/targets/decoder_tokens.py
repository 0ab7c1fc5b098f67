"""The tokenizer of a published decoder, as texts that are written need it."""

from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedModel

from sensorium.data.targets.tokens import Tokens
from sensorium.errors import UserError
from sensorium.nn.hub import load


def load_tokenizer(source: str, what: str) -> Any:
    """The Transformers tokenizer of `source`. Raises UserError when there is none."""
    tokenizer = load(AutoTokenizer, source, what)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise UserError(f"The {what} '{source}' has no tokenizer.json, nor can one be made; choose one that has.")
    return tokenizer


def decoder_tokens(source: str, what: str, model: PreTrainedModel, max_tokens: int) -> Tokens:
    """The tokens that `model`, which was loaded from `source`, writes. A decoder alone starts with its beginning of a
    text, or its end where it has none. Raises UserError when there is no tokenizer, or it has no end.
    """
    tokenizer = load_tokenizer(source, what)
    generation = getattr(model, "generation_config", None)
    ends = getattr(generation, "eos_token_id", None) or tokenizer.eos_token_id
    if ends is None:
        raise UserError(f"The tokenizer of the {what} '{source}' has no token that ends a text; choose one that has.")
    ends = [ends] if isinstance(ends, int) else list(ends)
    start = getattr(model.config, "decoder_start_token_id", None)
    candidates = [start, tokenizer.bos_token_id, ends[0]]
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0]
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    return Tokens(backend, next(token for token in candidates if token is not None), ends, pad, max_tokens)
