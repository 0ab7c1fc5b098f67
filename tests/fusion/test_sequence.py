"""The tokens of all inputs one after another: as they are, or brought to one width."""

import torch

from sensorium.features import Features
from sensorium.fusion.sequence import Sequence, SequenceConfig


def features(width: int, lengths: list[int], seed: int) -> Features:
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    tokens = torch.randn(len(lengths), 4, width, generator=torch.Generator().manual_seed(seed))
    return Features(torch.where(mask[..., None], tokens, torch.nan), mask, torch.zeros(len(lengths), width))


def test_tokens_of_the_width_pass_as_they_are_and_others_are_mapped():
    torch.manual_seed(0)
    inputs = {"picture": features(6, [4, 0, 2], 0), "words": features(8, [1, 3, 0], 1)}
    fusion = Sequence(SequenceConfig(), {"picture": 6, "words": 8})
    fused = fusion(inputs)
    assert fusion.dim == 8 and fused.tokens.shape == (3, 8, 8) and fused.tokens.isfinite().all()
    words = inputs["words"]
    assert torch.equal(fused.tokens[:, 4:], torch.where(words.mask[..., None], words.tokens, 0.0))
    assert torch.equal(fused.mask, torch.cat([inputs["picture"].mask, words.mask], dim=1))
    picture = fusion.maps["picture"](inputs["picture"].tokens[0]) + fusion.kinds[0]
    torch.testing.assert_close(fused.tokens[0, :4], picture)
    torch.testing.assert_close(fused.pooled[1], words.tokens[1, :3].mean(0))
    assert Sequence(SequenceConfig(dim=5), {"picture": 6, "words": 8})(inputs).tokens.shape == (3, 8, 5)


def test_a_row_alone_is_the_row_in_a_batch():
    torch.manual_seed(0)
    inputs = {"picture": features(6, [4, 0, 2], 0), "words": features(8, [1, 3, 0], 1)}
    fusion = Sequence(SequenceConfig(), {"picture": 6, "words": 8})
    fused = fusion(inputs)
    for row in range(3):
        single = fusion({name: each.take(torch.tensor([row])) for name, each in inputs.items()})
        torch.testing.assert_close(single.tokens[0], fused.tokens[row], rtol=1e-5, atol=1e-6)
