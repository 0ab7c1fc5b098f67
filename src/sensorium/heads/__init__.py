"""Kinds of decision: each takes what a fusion gives and has a loss of each row, a prediction, and a calibration.

Each declares `kind`, what it decides: a target's kind ("class", "labels", "number" or "answer"), whose heads
give a row without any input the training prior; or "match" or "words", which families ask for.
"""

from sensorium.heads.answer import Answer
from sensorium.heads.classes import Classes
from sensorium.heads.frequent import TopAnswers
from sensorium.heads.labels import Labels
from sensorium.heads.late import Late
from sensorium.heads.masked_words import MaskedWords
from sensorium.heads.match import Match
from sensorium.heads.number import Number

HEADS = {
    "classes": Classes,
    "labels": Labels,
    "number": Number,
    "frequent": TopAnswers,
    "late": Late,
    "match": Match,
    "words": MaskedWords,
    "answer": Answer,
}
