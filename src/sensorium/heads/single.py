"""Heads by name, but for `late`, which is made of several of them and adds itself in the room's `__init__`."""

from torch import nn

from sensorium.heads.answer import Answer
from sensorium.heads.causal import Causal
from sensorium.heads.classes import Classes
from sensorium.heads.ctc import CTC
from sensorium.heads.frequent import TopAnswers
from sensorium.heads.labels import Labels
from sensorium.heads.masked_words import MaskedWords
from sensorium.heads.match import Match
from sensorium.heads.number import Number
from sensorium.heads.places import Places
from sensorium.heads.seq2seq import Seq2Seq
from sensorium.heads.transcript import Transcript
from sensorium.heads.writer import Writer

HEADS: dict[str, type[nn.Module]] = {
    "classes": Classes,
    "labels": Labels,
    "number": Number,
    "frequent": TopAnswers,
    "match": Match,
    "words": MaskedWords,
    "answer": Answer,
    "causal": Causal,
    "seq2seq": Seq2Seq,
    "transcript": Transcript,
    "writer": Writer,
    "ctc": CTC,
    "places": Places,
}
