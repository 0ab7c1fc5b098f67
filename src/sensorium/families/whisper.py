"""Whisper (Radford et al. 2023, arXiv:2212.04356): its encoder, tokens as they are, a head that is its decoder."""

import json
from pathlib import Path

from sensorium.data.schema import Column, Schema, TargetSpec, make_inputs
from sensorium.encoders.audio_augmentation import AudioAugmentation
from sensorium.encoders.transformers_audio import TransformersAudio, TransformersAudioConfig
from sensorium.families.conversion import Options
from sensorium.fusion.sequence import Sequence, SequenceConfig
from sensorium.heads.transcript import Transcript, TranscriptConfig
from sensorium.model import Model
from sensorium.nn.packs import resolve
from sensorium.nn.whisper import CONFIG_FILE, MODEL_FILE

SPEECH, TEXT = "speech", "text"  # its input and its target
SILENCE = 4.0  # seconds that its encoder reads after a recording: with fewer it hears words wrong


def whisper(source: str | Path) -> Model:
    """The published model of a folder of Transformers or CTranslate2, or of a name on the hub. Raises UserError when it
    cannot be read or is none."""
    name = str(source)
    encoder = TransformersAudio.build(
        TransformersAudioConfig(model=name, own_window=True, silence=SILENCE, augmentation=AudioAugmentation()), [], {}
    )
    fusion = Sequence(SequenceConfig(), {SPEECH: encoder.dim})
    head = Transcript.build(TranscriptConfig(model=name), fusion.dim, [])
    columns = [
        Column(name=SPEECH, kind="audio", reason="sounds"),
        Column(name=TEXT, kind="target", reason="what is said in them"),
    ]
    schema = Schema(columns=columns, inputs=make_inputs(columns), targets=[TargetSpec(name=TEXT, kind="text")])
    return Model({SPEECH: encoder}, fusion=fusion, heads={TEXT: head}, schema=schema).eval()


class PublishedWhisper:
    """A Whisper in Transformers' format or CTranslate2's, which becomes a checkpoint of ours."""

    takes_tokenizer = False

    def recognises(self, source: Path, options: Options) -> bool:
        """Whether the folder `source` holds a Whisper."""
        source = Path(resolve(str(source)))
        if (source / MODEL_FILE).is_file():
            return True
        try:
            return json.loads((source / CONFIG_FILE).read_text(encoding="utf-8")).get("model_type") == "whisper"
        except (OSError, ValueError, AttributeError):
            return False

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes a checkpoint of ours. Raises UserError as `whisper` does."""
        model = whisper(source)
        model.save(out)
        return model
