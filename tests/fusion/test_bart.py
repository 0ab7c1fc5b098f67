"""BART's encoder as a fusion: places in a row, and settings that do not fit."""

import pytest
import torch

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.fusion.bart import BartFusion, BartFusionConfig


def features(*lengths: int) -> Features:
    mask = torch.arange(max(1, *lengths)) < torch.tensor(lengths)[:, None]
    tokens = torch.randn(*mask.shape, 8, generator=torch.Generator().manual_seed(sum(lengths)))
    return Features(tokens, mask, torch.zeros(len(lengths), 8))


@torch.no_grad()
def test_what_is_absent_takes_no_place_and_the_order_is_that_of_the_config():
    torch.manual_seed(0)
    config = BartFusionConfig(dim=8, heads=2, order=["picture", "prompt"])
    fusion = BartFusion(config, {"prompt": 8, "picture": 8}).eval()
    picture, prompt = features(0, 3), features(4, 2)
    fused = fusion({"prompt": prompt, "picture": picture})
    assert fused.mask.tolist() == [[False] * 3 + [True] * 4, [True] * 5 + [False] * 2]
    alone = BartFusion(BartFusionConfig(dim=8, heads=2), {"prompt": 8}).eval()
    alone.load_state_dict(fusion.state_dict())
    torch.testing.assert_close(fused.tokens[0, 3:], alone({"prompt": prompt}).tokens[0], rtol=1e-5, atol=1e-6)
    swapped = BartFusion(config.model_copy(update={"order": ["prompt", "picture"]}), {"prompt": 8, "picture": 8}).eval()
    swapped.load_state_dict(fusion.state_dict())
    assert not torch.allclose(swapped({"prompt": prompt, "picture": picture}).pooled[1], fused.pooled[1], atol=1e-3)


def test_settings_that_do_not_fit_are_said():
    with pytest.raises(UserError, match="order of the fusion names picture"):
        BartFusion(BartFusionConfig(dim=8, order=["picture"]), {"prompt": 8, "picture": 8})
    with pytest.raises(UserError, match="gives 4 tokens, and the fusion reads 3"):
        BartFusion(BartFusionConfig(dim=8, positions=3), {"prompt": 8})({"prompt": features(2, 4)})
