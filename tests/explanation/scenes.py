"""A small world of questions about pictures, and a model of random weights that answers them."""

import numpy as np
import torch

from sensorium.data.schema import Column, Schema, TargetSpec, make_inputs
from sensorium.encoders.bert_text import BertText, BertTextConfig
from sensorium.encoders.clip_image import ClipImage, ClipImageConfig
from sensorium.fusion import FUSIONS
from sensorium.heads.answer import Answer, AnswerConfig
from sensorium.heads.classes import Classes, ClassesConfig
from sensorium.heads.match import Match, MatchConfig
from sensorium.model import Model

DIM = 12
QUESTIONS = ["what colour is the circle?", "is there a red square", "how many are there", "is it a circle"]


def photo(seed: int = 0, height: int = 24, width: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def schema(target: bool = True) -> Schema:
    columns = [Column(name=name, kind=kind, reason="") for name, kind in (("question", "text"), ("photo", "image"))]
    targets = [TargetSpec(name="answer", kind="class", labels=["yes", "no", "two"])] if target else []
    return Schema(columns=columns, inputs=make_inputs(columns), targets=targets)


def model(kind: str = "bert", head: str = "classes", fit: str = "squash", pictures: int = 1) -> Model:
    """Every weight is random and large enough that words differ in where they look."""
    torch.manual_seed(0)
    image = ClipImageConfig(size=24, patch=8, width=DIM, depth=1, heads=2, augmentation=None, fit=fit)
    text = BertText.build(BertTextConfig(width=DIM, depth=1, heads=2, dropout=0.0), QUESTIONS * 3, {})
    encoders = {"photo": ClipImage(image), "question": text}
    fusion = FUSIONS[kind]
    fused = fusion(fusion.Config(query="question", dim=DIM, layers=3, heads=2), dict.fromkeys(encoders, DIM))
    heads = {
        "classes": lambda: Classes(ClassesConfig(classes=3, prior=[0.5, 0.3, 0.2]), DIM),
        "match": lambda: Match(MatchConfig(), DIM),
        "answer": lambda: Answer(AnswerConfig(vocabulary=9, context=5, start=1, end=2, layers=1, heads=2), DIM),
    }
    name = "match" if head == "match" else "answer"
    made = Model(encoders, fusion=fused, heads={name: heads[head]()}, schema=schema(head != "match"))
    with torch.no_grad():
        for part in (made.fusion, *made.heads.parts):
            for parameter in part.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.4)
    return made.eval()
