"""Whisper (Radford et al. 2023, arXiv:2212.04356): its encoder, tokens as they are, a head that is its decoder."""

import json
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import GenerationConfig, WhisperConfig

from sensorium.data.schema import Column, Schema, TargetSpec, make_inputs
from sensorium.encoders.transformers_audio import TransformersAudio, TransformersAudioConfig
from sensorium.errors import UserError
from sensorium.families.conversion import Options
from sensorium.files import whole_folder
from sensorium.fusion.sequence import Sequence, SequenceConfig
from sensorium.generation.timestamps import FIRST_AT_MOST
from sensorium.heads import HEADS
from sensorium.heads.spoken import END, set_blank
from sensorium.heads.transcript import Transcript, TranscriptConfig
from sensorium.model import Model, load
from sensorium.nn.packs import resolve
from sensorium.nn.whisper import CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE

MODEL, WEIGHTS, WORDS = "model.json", "model.safetensors", "proj_out."
SPEECH, TEXT = "speech", "text"  # its input and its target
SILENCE = 8.0  # seconds that its encoder reads after a recording: with half of them some texts loop


def whisper(source: str | Path) -> Model:
    """The published model of a folder of Transformers or CTranslate2, or of a name on the hub. Raises UserError when it
    cannot be read or is none."""
    name = str(source)
    encoder = TransformersAudio.build(TransformersAudioConfig(model=name, own_window=True, silence=SILENCE), [], {})
    fusion = Sequence(SequenceConfig(), {SPEECH: encoder.dim})
    head = Transcript.build(TranscriptConfig(model=name), fusion.dim, [])
    columns = [
        Column(name=SPEECH, kind="audio", reason="sounds"),
        Column(name=TEXT, kind="target", reason="what is said in them"),
    ]
    schema = Schema(columns=columns, inputs=make_inputs(columns), targets=[TargetSpec(name=TEXT, kind="text")])
    return Model({SPEECH: encoder}, fusion=fusion, heads={TEXT: head}, schema=schema).eval()


def write(model: Model, folder: Path) -> None:
    """The files that Transformers reads. Raises UserError for a model that is more than a Whisper."""
    (encoder, *_), (head, *_) = model.encoders.modules_once, model.heads.modules_once
    if (
        not len(model.encoders.names) == len(model.heads.names) == 1
        or not isinstance(encoder, TransformersAudio)
        or not isinstance(head, Transcript)
        or not isinstance(model.fusion, Sequence)
        or not encoder.config.own_window
        or encoder.dim != head.body.config.d_model
        or sum(parameter.numel() for parameter in (*model.fusion.parameters(), *head.projector.parameters()))
    ):
        raise UserError("This model is more than a Whisper (its inputs, fusion or encoder); it is not written.")
    tokens, speech = head.processor, head.speech
    special = {"decoder_start_token_id": tokens.start, "eos_token_id": tokens.end[0], "pad_token_id": tokens.pad}
    special["bos_token_id"] = tokens.end[0]
    config = WhisperConfig(**head.config.architecture | special, architectures=["WhisperForConditionalGeneration"])
    config.save_pretrained(folder)
    GenerationConfig(
        **special, max_length=config.max_target_positions, no_timestamps_token_id=speech.no_timestamps,
        suppress_tokens=list(head.config.suppress), begin_suppress_tokens=list(head.config.suppress_first),
        alignment_heads=[list(pair) for pair in head.config.alignment] or None, is_multilingual=bool(speech.languages),
        lang_to_id={f"<|{code}|>": token for code, token in speech.languages.items()}, task_to_id=speech.tasks,
        max_initial_timestamp_index=FIRST_AT_MOST, return_timestamps=False,
    ).save_pretrained(folder)  # fmt: skip
    weights = {f"model.encoder.{name}": weight for name, weight in encoder.body.state_dict().items()}
    weights |= {name: weight for name, weight in head.body.state_dict().items() if not name.startswith(WORDS)}
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / WEIGHTS, {"format": "pt"})
    encoder.processor.extractor.save_pretrained(folder)
    tokenizer = Tokenizer.from_str(tokens.tokenizer.to_str())
    set_blank(tokenizer, False)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    ends = {"tokenizer_class": "WhisperTokenizer"} | dict.fromkeys(
        ("bos_token", "eos_token", "pad_token", "unk_token"), END
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(ends, indent=1), encoding="utf-8")


class WrittenWhisper:
    """A checkpoint of ours that is a Whisper, which is written for Transformers."""

    takes_tokenizer = False

    def recognises(self, source: Path, options: Options) -> bool:
        """Whether a head of the checkpoint or run `source` writes what is said."""
        file = next((folder / MODEL for folder in (source / "model", source) if (folder / MODEL).is_file()), None)
        if file is None:
            return False
        try:
            heads = json.loads(file.read_text(encoding="utf-8"))["heads"].values()
            return any(HEADS.get(entry["name"]) is Transcript for entry in heads)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):  # whoever loads it says what is wrong
            return False

    def convert(self, source: str | Path, out: Path, options: Options) -> Model:
        """Writes what `write` says. Raises UserError as it does."""
        model = load(source)
        with whole_folder(out) as folder:
            write(model, folder)
        return model


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
