"""Words hidden in a text: BERT's shares, what is never hidden, and whose chance it is."""

import pickle

import numpy as np
import pytest
import torch

from sensorium.data.read import read
from sensorium.data.records import Records, draw, load
from sensorium.encoders.masked_text import NOT_ASKED, MaskedTextProcessor
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError

TEXTS = [f"the {colour} {thing} on the table" for colour in ("red", "green") for thing in ("mug", "lamp", "clock")] * 2


def tokenizer() -> TextProcessor:
    return TextProcessor.train(TEXTS, 64)


def test_words_are_hidden_at_berts_shares_and_marks_never():
    text = tokenizer()
    masking, rows = MaskedTextProcessor(text), []
    torch.manual_seed(0)
    true = text(TEXTS[0])["tokens"]
    special = text.encode(TEXTS[0])[1]
    assert special.sum() == 2
    for _ in range(6000):
        made = masking(TEXTS[0], augment=True)
        asked = made["labels"] != NOT_ASKED
        assert torch.equal(made["labels"][asked], true[asked]) and not (asked & special).any()
        assert torch.equal(made["tokens"][~asked], true[~asked])
        rows.append(torch.stack([asked, asked & (made["tokens"] == text.mask_token), asked & (made["tokens"] == true)]))
    asked, hidden, kept = torch.stack(rows).float()[:, :, ~special].mean(dim=(0, 2))
    words = text.vocabulary
    assert asked.item() == pytest.approx(0.15, abs=0.005)
    # A token drawn from all of them may be the mask token, or the true one.
    assert (hidden / asked).item() == pytest.approx(0.8 + 0.1 / words, abs=0.01)
    assert (kept / asked).item() == pytest.approx(0.1 + 0.1 / words, abs=0.01)


def test_without_chance_nothing_is_hidden_and_labels_are_padded_as_what_is_not_asked():
    masking = MaskedTextProcessor(tokenizer())
    torch.manual_seed(1)
    items = [masking(TEXTS[0]), None, masking("mug", augment=True)]
    batch = masking.pad(items)
    assert torch.equal(batch["tokens"][0], masking.text(TEXTS[0])["tokens"])
    assert (batch["labels"][:2] == NOT_ASKED).all() and not batch["mask"][1].any()
    assert batch["labels"].shape == batch["tokens"].shape == batch["mask"].shape
    length = len(items[2]["labels"])
    assert torch.equal(batch["labels"][2, :length], items[2]["labels"])
    assert (batch["labels"][2, length:] == NOT_ASKED).all()


def test_a_tokenizer_without_a_mask_token_cannot_hide():
    text = tokenizer()
    text.mask_token = None
    with pytest.raises(UserError, match="no mask token"):
        MaskedTextProcessor(text)


def test_what_is_hidden_follows_from_seed_epoch_and_key_and_not_from_the_worker():
    table = read(
        [{"k": f"k{row}", "words": text, "y": row} for row, text in enumerate(TEXTS)],
        key="k",
        columns={"words": "text"},
        quiet=True,
    )
    text = pickle.loads(pickle.dumps(tokenizer()))
    own = Records(table, {"words": text}, seed=3)
    records = own.viewed("masked", Records(table, {"words": MaskedTextProcessor(text)}, seed=draw(3, "words/masked")))
    rows = np.array([4, 1, 7])
    found = {
        workers: [batch.inputs for batch in load(records, [(rows, 0), (rows[:2], 0), (rows, 1)], workers)]
        for workers in (0, 2)
    }
    for one, two in zip(*found.values(), strict=True):
        assert one.keys() == two.keys() == {"words", "words/masked"}
        for name, value in one["words/masked"].items():
            assert torch.equal(value, two["words/masked"][name])
    whole, fewer, later = (one["words/masked"]["labels"] for one in found[0])
    assert torch.equal(whole[:2], fewer) and not torch.equal(whole, later)
    assert (whole != NOT_ASKED).any()
