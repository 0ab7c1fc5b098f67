"""Our search over the steps of a Transformers model, with its own cache, against its own `generate`."""

import inspect

import pytest
import torch
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from sensorium.generation.decoder import SpecialTokens
from sensorium.generation.fixed_beams import BeamResult, beam_search

WORDS, START, END, PAD, LONGEST = 23, 1, 2, 3, 10  # a pad of 0 is no pad to `generate`: it then fills with the end
# Transformers 5 renames it.
CACHE = "cache" if "cache" in inspect.signature(BartForConditionalGeneration.forward).parameters else "past_key_values"


class BartState:
    """What BART's decoder keeps: the encoder's output for each row, and the keys and values."""

    def __init__(self, encoded: Tensor, mask: Tensor, cache: EncoderDecoderCache):
        self.encoded, self.mask, self.cache = encoded, mask, cache

    def take(self, index: Tensor) -> "BartState":
        rows = index.flatten()
        if self.cache.get_seq_length():
            self.cache.batch_select_indices(rows)
        return BartState(self.encoded[rows], self.mask[rows], self.cache)


def bart(end_bias: float) -> BartForConditionalGeneration:
    """A tiny BART of random weights whose sequences differ; `end_bias` is added to the logit of the end."""
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=WORDS,
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_position_embeddings=32,
        bos_token_id=START,
        decoder_start_token_id=START,
        eos_token_id=END,
        pad_token_id=PAD,
        forced_bos_token_id=None,
        forced_eos_token_id=None,
    )
    model = BartForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        model.final_logits_bias[:, END] = end_bias
        model.final_logits_bias[:, PAD] = -1e4
    return model


def sources() -> tuple[Tensor, Tensor]:
    """Six texts of different lengths: tokens int64 [B, L], mask [B, L]."""
    torch.manual_seed(1)
    mask = torch.arange(7) < torch.tensor([7, 3, 5, 1, 6, 2])[:, None]
    return torch.randint(4, WORDS, mask.shape).masked_fill(~mask, PAD), mask.long()


def ours(model: BartForConditionalGeneration, beams: int) -> BeamResult:
    tokens, mask = sources()

    def step(tokens: Tensor, state: BartState) -> Tensor:
        output = model(
            encoder_outputs=BaseModelOutput(state.encoded),
            attention_mask=state.mask,
            decoder_input_ids=tokens[:, None],
            use_cache=True,
            **{CACHE: state.cache},
        )
        return output.logits[:, -1].float()

    encoded = model.model.encoder(tokens, attention_mask=mask).last_hidden_state
    state = BartState(encoded, mask, EncoderDecoderCache(DynamicCache(), DynamicCache()))
    return beam_search(step, state, torch.full((len(tokens),), START), SpecialTokens(END, PAD), LONGEST, beams)


def theirs(model: BartForConditionalGeneration, beams: int) -> tuple[Tensor, Tensor]:
    """Of `generate`, int64 [B, k, L], and the logarithms of the probabilities, float [B, k]."""
    tokens, mask = sources()
    output = model.generate(
        tokens,
        attention_mask=mask,
        num_beams=beams,
        num_return_sequences=beams,
        max_length=LONGEST,
        length_penalty=0.0 if beams > 1 else None,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    beam_indices = output.get("beam_indices")
    logprobs = model.compute_transition_scores(
        output.sequences, output.scores, beam_indices, normalize_logits=beams == 1
    )
    written = output.sequences[:, 1:] != PAD
    scores = torch.where(written, logprobs, 0.0).sum(1)
    return output.sequences.unflatten(0, (-1, beams)), scores.unflatten(0, (-1, beams))


@torch.no_grad()
def test_greedy_search_writes_what_generate_writes():
    model = bart(end_bias=0.0)
    result, (tokens, scores) = ours(model, 1), theirs(model, 1)
    assert torch.equal(result.tokens, tokens)
    assert len((tokens != PAD).sum(2).unique()) > 2
    torch.testing.assert_close(result.likely, scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("beams", [2, 4])
@torch.no_grad()
def test_where_nothing_ends_all_beams_are_those_of_generate(beams: int):
    model = bart(end_bias=-1e4)
    result, (tokens, scores) = ours(model, beams), theirs(model, beams)
    assert torch.equal(result.tokens, tokens)
    torch.testing.assert_close(result.likely, scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("beams", [2, 4])
@torch.no_grad()
def test_where_sequences_end_the_best_is_no_less_likely_than_that_of_generate(beams: int):
    model = bart(end_bias=0.0)
    result, (tokens, scores) = ours(model, beams), theirs(model, beams)
    assert len((tokens[:, 0] != PAD).sum(1).unique()) > 1
    assert (result.likely[:, 0] >= scores[:, 0] - 1e-5).all()
