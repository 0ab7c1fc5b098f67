"""What has to be so before the mistakes of docs/mistakes.md that are about encoders."""

import sys
from collections.abc import Callable
from typing import Any

from transformers import BertConfig, BertModel

from tests.reviews import put


def without_gensim(scene: Any) -> None:
    """An environment that lacks gensim."""
    for name in ("gensim", "gensim.models"):
        scene.monkeypatch.setitem(sys.modules, name, None)


def a_model_of_text(scene: Any) -> None:
    """A folder with a tiny text model."""
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(**size, vocab_size=8)).save_pretrained("models/reader")


SCENES: dict[str, Callable[[Any], None]] = {
    "The word vectors are a pickle": lambda scene: put("words.kv", b"\x80\x04K\x01."),
    "The file holds no word vectors": lambda scene: put("words.txt", "Once upon a time\nthere was a file\n"),
    "The word vectors are cut short": lambda scene: put("words.txt", "3 2\nlovely 1 0\nbroke 0 1\n"),
    "The package for word vectors is missing": without_gensim,
    "The model does not read sound": a_model_of_text,
}
