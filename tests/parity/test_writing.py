"""Heads that write, against the Transformers models whose weights they have: logits, and every token of `generate`."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from sensorium.features import Features
from sensorium.generation.autoregressive import generate
from sensorium.generation.settings import Generation
from tests.writing_scenes import CAUSAL, ENDS, LONGEST, PAD, SEQ2SEQ, START, alone, compact, head_of, published, rows

SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy_rules": {"repetition_penalty": 1.3, "no_repeat_ngram": 2, "min_tokens": 3},
    "beams_3": {"beams": 3},
    "beams_5_length": {"beams": 5, "length_penalty": 2.0, "best": 3},
    "beams_3_short": {"beams": 3, "length_penalty": -0.5, "early_stopping": "never", "best": 3},
    "beams_3_rules": {"beams": 3, "repetition_penalty": 1.3, "no_repeat_ngram": 2, "early_stopping": True},
}
NAMES = {
    "beams": "num_beams",
    "best": "num_return_sequences",
    "no_repeat_ngram": "no_repeat_ngram_size",
    "min_tokens": "min_new_tokens",
}


def theirs(model: PreTrainedModel, name: str, fused: Features, search: dict[str, Any]) -> Tensor:
    """What `generate` writes, int64 [B, n, L], without start and end."""
    options = {NAMES.get(option, option): value for option, value in search.items()}
    options |= {"do_sample": False, "max_new_tokens": LONGEST, "eos_token_id": list(ENDS), "pad_token_id": PAD}
    tokens, mask = compact(fused, left=name not in SEQ2SEQ)
    if name in SEQ2SEQ:
        options |= {"encoder_outputs": BaseModelOutput(tokens), "decoder_start_token_id": START}
        written = model.generate(attention_mask=mask, **options)[:, 1:]
    else:
        written = model.generate(inputs_embeds=tokens, attention_mask=mask, **options)
    return written.masked_fill(torch.isin(written, torch.tensor(ENDS)), PAD).unflatten(0, (len(mask), -1))


def assert_same_tokens(ours: Tensor, expected: Tensor) -> None:
    """Checks that both are the same but for padding at their ends."""
    length = max(ours.shape[2], expected.shape[2])
    ours, expected = (torch.nn.functional.pad(x, (0, length - x.shape[2]), value=PAD) for x in (ours, expected))
    assert torch.equal(ours, expected)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL])
@torch.no_grad()
def test_every_search_writes_the_tokens_of_generate(name: str, search: str):
    model = published(name)
    fused, options = rows(), SEARCHES[search]
    if name in CAUSAL and "repetition_penalty" in options:
        # In a padded batch `generate` leaves out as many of the tokens written first as a row has padding.
        each = [theirs(model, name, alone(fused, row), options)[0] for row in range(20)]
        expected = torch.nn.utils.rnn.pad_sequence([row.T for row in each], True, PAD).mT
    else:
        expected = theirs(model, name, fused, options)
    head = head_of(name, model)
    assert_same_tokens(generate(head, fused, Generation(**options)).tokens, expected)
    # The texts differ, and where loops are not allowed they end at different steps.
    assert len(expected.flatten(1).unique(dim=0)) > 3
    assert "no_repeat_ngram" not in options or len((expected != PAD).sum(2).unique()) > 3


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL])
@torch.no_grad()
def test_logits_are_those_of_the_model_whatever_the_padding(name: str):
    model, fused = published(name), rows()
    written = torch.randint(4, 40, (20, 5), generator=torch.Generator().manual_seed(2))
    for left in (False, True):
        tokens, mask = compact(fused, left)
        if name in SEQ2SEQ:
            read = torch.nn.functional.pad(written, (1, 0), value=START)
            encoded = BaseModelOutput(tokens)
            expected = model(encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=read).logits
        elif left:
            embedded = torch.cat([tokens, model.get_input_embeddings()(written)], dim=1)
            mask = torch.cat([mask, torch.ones_like(written)], dim=1)
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            expected = model(inputs_embeds=embedded, attention_mask=mask, position_ids=positions).logits[:, -6:]
        head = head_of(name, model)
        ours, state = head.begin(Features(tokens, compact(fused, left)[1].bool(), fused.pooled))
        for step in range(6):
            if name in SEQ2SEQ or left:
                torch.testing.assert_close(ours, expected[:, step], rtol=1e-5, atol=1e-5)
            if step < 5:
                ours = head.step(written[:, step], state)
