"""What a decoder of Whisper comes with: its tokens that say language, task and time, and its tokenizer."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, pre_tokenizers
from transformers import AutoModelForSpeechSeq2Seq, WhisperConfig, WhisperForConditionalGeneration
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from sensorium.data.targets.decoder_tokens import load_tokenizer
from sensorium.data.targets.tokens import Tokens
from sensorium.errors import UserError, check_known, unknown
from sensorium.generation.timestamps import SECONDS_A_STEP
from sensorium.nn.hub import load_with
from sensorium.nn.packs import resolve
from sensorium.nn.whisper import CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE, load_whisper

START, END, NO_TIMESTAMPS = "<|startoftranscript|>", "<|endoftext|>", "<|notimestamps|>"
NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")
TASKS = {"transcribe": "<|transcribe|>", "translate": "<|translate|>"}
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
READ_FIRST = 4  # tokens before a text: start, language, task, no timestamps
MULTILINGUAL = 51_865  # tokens of the first Whisper of many languages; that of English has one fewer


class SpeechTokens(NamedTuple):
    """Numbers of tokens. languages: by code, none of an English model; tasks: by name."""

    languages: dict[str, int]
    tasks: dict[str, int]
    no_timestamps: int
    no_speech: int | None

    @classmethod
    def of(cls, tokenizer: Tokenizer, multilingual: bool) -> "SpeechTokens":
        """Those of a tokenizer. Raises UserError when it is none of Whisper's."""
        vocabulary = tokenizer.get_vocab()
        missing = [token for token in (START, END, NO_TIMESTAMPS, *TASKS.values()) if token not in vocabulary]
        if missing:
            raise UserError(f"The tokenizer has no {missing[0]}, so it is none of Whisper's; bring the model's own.")
        codes = {match[1]: number for token, number in vocabulary.items() if (match := _LANGUAGE.fullmatch(token))}
        languages = dict(sorted(codes.items(), key=lambda pair: pair[1])) if multilingual else {}
        tasks = {task: vocabulary[token] for task, token in TASKS.items()}
        no_speech = next((vocabulary[token] for token in NO_SPEECH if token in vocabulary), None)
        return cls(languages, tasks, vocabulary[NO_TIMESTAMPS], no_speech)

    def check_task(self, task: str) -> None:
        """Raises UserError for a task that there is not, and for another than writing English of an English model."""
        check_known(self.tasks, "task", task)
        if not self.languages and task != next(iter(TASKS)):
            raise _english_only()

    def code_of(self, language: str) -> str:
        """The code of a language, which is stated by code or English name. Raises UserError for one that the model does
        not know, and of an English model for any."""
        if not self.languages:
            raise _english_only()
        code = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
        if code not in self.languages:
            names = [name for name, short in TO_LANGUAGE_CODE.items() if short in self.languages]
            raise unknown("language", language, [*self.languages, *names])
        return code


def _english_only() -> UserError:
    return UserError(
        "This Whisper writes English alone, so it takes no language and does not translate; leave them out, or take a"
        " multilingual one."
    )


def load_speech_writer(
    source: str, what: str, max_tokens: int
) -> tuple[WhisperForConditionalGeneration, Tokens, dict[str, Any]]:
    """The Whisper of `source`, its tokens, and what a TranscriptConfig says of it beside the architecture. Raises
    UserError when it cannot be loaded, is no Whisper, or has no tokenizer.
    """
    folder = Path(resolve(source))
    if (folder / MODEL_FILE).is_file():
        model, _ = load_whisper(folder)
        tokenizer, facts = _read_tokenizer(folder), _facts(folder)
        multilingual = model.config.vocab_size >= MULTILINGUAL
    else:
        model, _ = load_with(AutoModelForSpeechSeq2Seq, source, what, "proj_out")
        if not isinstance(model, WhisperForConditionalGeneration):
            raise UserError(f"The model '{source}' ({model.config.model_type}) is no Whisper; choose one.")
        tokenizer = Tokenizer.from_str(load_tokenizer(source, what).backend_tokenizer.to_str())
        generation = model.generation_config
        facts = {
            "suppress": generation.suppress_tokens,
            "suppress_first": generation.begin_suppress_tokens,
            "alignment": getattr(generation, "alignment_heads", None),
        }
        multilingual = getattr(generation, "is_multilingual", model.config.vocab_size >= MULTILINGUAL)
    most = min(max_tokens, model.config.max_target_positions - READ_FIRST)
    tokens = speech_tokens(tokenizer, model.config.vocab_size, most)
    return model, tokens, _checked_facts(facts, model.config, source) | {"multilingual": multilingual}


def speech_tokens(tokenizer: Tokenizer, vocabulary: int, max_tokens: int) -> Tokens:
    """The tokens of a Whisper of so many, its timestamps among them, which some tokenizers lack. A text begins with a
    blank, as Whisper writes it. Raises UserError for a tokenizer of another model.
    """
    SpeechTokens.of(tokenizer, multilingual=True)
    first = tokenizer.token_to_id(NO_TIMESTAMPS) + 1
    stamps = [f"<|{SECONDS_A_STEP * step:.2f}|>" for step in range(vocabulary - first)]
    tokenizer.add_special_tokens([AddedToken(stamp, normalized=False, special=True) for stamp in stamps])
    if [tokenizer.token_to_id(stamp) for stamp in stamps] != list(range(first, vocabulary)):
        raise UserError(f"The tokenizer has other tokens than the model's {vocabulary}; bring the model's own.")
    set_blank(tokenizer, True)
    end = tokenizer.token_to_id(END)
    return Tokens(tokenizer, tokenizer.token_to_id(START), [end], end, max_tokens)


def set_blank(tokenizer: Tokenizer, first: bool) -> None:
    """Whether a blank stands before the `first` word of a text."""
    if (json.loads(tokenizer.to_str())["pre_tokenizer"] or {}).get("type") == "ByteLevel":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=first)


def _read_tokenizer(folder: Path) -> Tokenizer:
    file = folder / TOKENIZER_FILE
    try:
        return Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises its own
        reason = str(error).strip().splitlines()[0] if file.exists() else "there is none"
        raise UserError(f"The tokenizer {file} cannot be read ({reason}); put that of the model there.") from error


def _facts(folder: Path) -> dict[str, Any]:
    """What config.json of a folder of CTranslate2 says."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        config = {}
    except ValueError as error:
        raise UserError(f"{folder / CONFIG_FILE} is no JSON ({error}); bring a whole copy.") from error
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG_FILE} is no object of settings; bring a whole copy.")
    return {
        "suppress": config.get("suppress_ids"),
        "suppress_first": config.get("suppress_ids_begin"),
        "alignment": config.get("alignment_heads"),
    }


def _checked_facts(facts: dict[str, Any], config: WhisperConfig, source: str) -> dict[str, Any]:
    """`facts` as a TranscriptConfig has them. Raises UserError for heads or tokens that the model does not have."""
    try:
        suppress, suppress_first = (tuple(facts[name] or ()) for name in ("suppress", "suppress_first"))
        alignment = tuple((layer, head) for layer, head in facts["alignment"] or ())
        tokens, heads = range(config.vocab_size), range(config.decoder_attention_heads)
        fits = all(token in tokens for token in (*suppress, *suppress_first)) and all(
            layer in range(config.decoder_layers) and head in heads for layer, head in alignment
        )
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise UserError(
            f"The configuration of '{source}' names tokens or alignment_heads that its model does not have; bring a"
            " whole copy."
        )
    return {"suppress": suppress, "suppress_first": suppress_first, "alignment": alignment}
