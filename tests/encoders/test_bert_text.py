"""BERT's layers give Transformers' numbers from its weights; a text alone is the text in a batch."""

import pytest
import torch
from transformers import BertConfig, BertModel

from sensorium.encoders.bert_text import BertText, BertTextConfig
from sensorium.errors import UserError
from sensorium.families.albef_weights import block, embeddings
from sensorium.families.weights import filled

CONFIG = BertTextConfig(vocabulary=30, context=10, width=16, depth=2, heads=2, kinds=2, dropout=0.0)


def texts() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    real = torch.arange(7) < torch.tensor([7, 3, 1, 5])[:, None]
    return {"tokens": torch.randint(30, (4, 7)), "mask": real}


@pytest.mark.parametrize("summary_only", [False, True])
def test_transformers_bert_gives_its_numbers_here(summary_only):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    stated = BertConfig(vocab_size=30, max_position_embeddings=10, initializer_range=0.3, **shape)
    theirs = BertModel(stated, add_pooling_layer=False).eval()
    ours = BertText(CONFIG, summary_only=summary_only).eval()
    table = [*embeddings("", "", ()), *(one for i in (0, 1) for one in block(f"blocks.{i}.", f"encoder.layer.{i}.", 0))]
    ours.load_state_dict(filled(ours.state_dict(), table, theirs.state_dict(), "Transformers", {"": ""}), strict=True)
    given = texts()
    with torch.no_grad():
        wanted = theirs(given["tokens"], attention_mask=given["mask"].long()).last_hidden_state
        found = ours(given)
    torch.testing.assert_close(found.pooled, wanted[:, 0], rtol=1e-5, atol=1e-5)
    if not summary_only:
        torch.testing.assert_close(found.tokens[given["mask"]], wanted[given["mask"]], rtol=1e-5, atol=1e-5)
        assert (found.tokens[~given["mask"]] == 0).all()


def test_a_text_alone_is_the_text_in_a_batch():
    torch.manual_seed(0)
    encoder, given = BertText(CONFIG).eval(), texts()
    together = encoder(given)
    for row, length in enumerate(given["mask"].sum(1)):
        one = encoder({key: value[row : row + 1, :length] for key, value in given.items()})
        torch.testing.assert_close(one.tokens[0], together.tokens[row, :length], rtol=1e-5, atol=1e-5)


def test_it_is_built_from_texts_and_has_the_sizes_they_need():
    encoder = BertText.build(BertTextConfig(width=8, heads=1, depth=1), ["a lamp that works", "a mug"] * 4, {})
    assert encoder.config.vocabulary == encoder.processor.vocabulary
    assert (
        encoder.config.context == encoder.processor.max_tokens == len(encoder.processor("a lamp that works")["tokens"])
    )
    batch = encoder.processor.pad([encoder.processor("a mug"), None])
    assert encoder(batch).present.tolist() == [True, False]


def test_sizes_that_only_texts_can_tell_are_asked_for():
    for config, said in ((BertTextConfig(context=9), "'vocabulary'"), (BertTextConfig(vocabulary=9), "'context'")):
        with pytest.raises(UserError, match=said):
            BertText(config)
