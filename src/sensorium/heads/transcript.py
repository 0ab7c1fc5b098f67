"""What is said in a sound, written by the decoder of Whisper over the tokens of its encoder."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from transformers import AutoModelForSpeechSeq2Seq, WhisperForConditionalGeneration

from sensorium.data.targets.tokens import Tokens
from sensorium.features import Features
from sensorium.generation.autoregressive import Stream
from sensorium.generation.decoder import SpecialTokens
from sensorium.generation.packed import PackedState
from sensorium.generation.rules import Rule
from sensorium.generation.settings import Generation
from sensorium.generation.timestamps import end_loops, suppress, suppress_first, timestamps
from sensorium.generation.whisper import WhisperSteps, whisper_steps
from sensorium.heads.spoken import SpeechTokens, load_speech_writer
from sensorium.heads.written import (
    GREEDY,
    attended,
    decode_text,
    predict_text,
    read_architecture,
    text_loss,
    without_encoder,
)
from sensorium.nn.hub import architecture_of
from sensorium.nn.precision import wide
from sensorium.nn.shared_weights import save_once

WHAT = "Whisper"
Task = Literal["transcribe", "translate"]


class TranscriptConfig(BaseModel, frozen=True, extra="forbid"):
    """The decoder of a Whisper.

    model:        the folder that holds it, in Transformers' format or CTranslate2's, its name on the hub, or a pack.
    max_tokens, smoothing, train: see CausalConfig.
    language:     a code, as "en", of all sounds; None: that of each is detected.
    task:         write what is said in its own language, or in English.
    architecture, multilingual, suppress, suppress_first, alignment: filled by `build`: whether it knows languages,
                  tokens that it never writes, or not as the first, and the layer and head of each attention that times
                  words.
    """

    model: str
    architecture: dict[str, Any] | None = None
    max_tokens: int = Field(440, ge=2)
    smoothing: float = Field(0.0, ge=0, lt=1)
    train: Literal["whole", "adapters", "frozen"] = "whole"
    language: str | None = None
    task: Task = "transcribe"
    multilingual: bool = True
    suppress: tuple[int, ...] = ()
    suppress_first: tuple[int, ...] = ()
    alignment: tuple[tuple[int, int], ...] = ()


class Transcript(nn.Module):
    """Whisper's decoder (Radford et al. 2023, arXiv:2212.04356), told the language, the task and whether to write
    timestamps by the tokens that it reads first. It attends to the fused tokens, through a linear map where their width
    is another; in a row without any input to a single token of zeros, which leaves the training prior.

    The constructor gives random weights in the config's architecture; `build` loads the pretrained ones.
    """

    Config = TranscriptConfig
    Processor = Tokens
    kind = "text"
    writes = True
    transcribes = True

    def __init__(
        self, config: TranscriptConfig, dim: int, processor: Tokens, body: WhisperForConditionalGeneration | None = None
    ):
        super().__init__()
        self.config, self.processor = config, processor
        if body is None:
            architecture = read_architecture(config, WHAT)
            body = AutoModelForSpeechSeq2Seq.from_config(architecture, dtype=torch.float32, trust_remote_code=False)
        self.body = without_encoder(body)
        width = body.config.d_model
        self.projector = nn.Identity() if width == dim else nn.Linear(dim, width)
        self.special = SpecialTokens(processor.end, processor.pad, (processor.start,))
        self.context = config.max_tokens
        self.speech = SpeechTokens.of(processor.tokenizer, config.multilingual)
        self.speech.check_task(config.task)
        if config.language is not None:
            self.speech.code_of(config.language)
        self.lent: list[Tensor] = []
        self._steps: WhisperSteps | None = None
        save_once(self)

    @classmethod
    def build(cls, config: TranscriptConfig, dim: int, texts: Iterable[str]) -> "Transcript":
        """The pretrained decoder and its tokenizer. Raises UserError when it cannot be loaded or has no tokenizer, and
        for a language or a task that it does not know."""
        body, processor, facts = load_speech_writer(config.model, WHAT, config.max_tokens)
        update = {"architecture": architecture_of(body.config), "max_tokens": processor.max_tokens} | facts
        config = config.model_copy(update=update)
        return cls(config, dim, processor, body)

    @staticmethod
    def usual_fusion(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The tokens of the encoder as they are."""
        return "sequence", {}

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: see `written.text_loss`."""
        encoded, mask = attended(fused, self.projector)
        read_first = self._with_start(self.prompt(self._languages(fused), len(mask)).to(mask.device))  # [B, P]

        def logits_of(row: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
            steps = self._whisper_steps()
            read = torch.cat([read_first[row], tokens[:, :-1]], dim=1)
            states = steps.read(read, steps.attend(encoded[row], mask[row]))[:, read_first.shape[1] - 1 :]
            return wide(steps.words(states[real]))

        return text_loss(logits_of, target, self.config.smoothing if self.training else 0.0)

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, PackedState]:
        """See `generation.decoder.Decoder`."""
        none = torch.zeros(len(fused.mask), 0, dtype=torch.long, device=fused.mask.device)
        return self._whisper_steps().begin(
            *attended(fused, self.projector), self._with_start(none if prompt is None else prompt)
        )

    def step(self, tokens: Tensor, state: PackedState) -> Tensor:
        """See `generation.decoder.Decoder`."""
        return self._whisper_steps().step(tokens, state)

    def prompt(self, languages: Sequence[str], count: int, task: Task | None = None, stamps: bool = False) -> Tensor:
        """int64 [B, P]: what is read after the start: of a multilingual model the language of each of `count` rows, a
        code, and the task; and that no timestamps come, unless `stamps`.
        """
        rows = [[] for _ in range(count)]
        if self.speech.languages:
            task_token = self.speech.tasks[task or self.config.task]
            rows = [[self.speech.languages[code], task_token] for code in languages]
        return torch.tensor([row + [self.speech.no_timestamps] * (not stamps) for row in rows], dtype=torch.long)

    def rules(self, stamps: bool = False) -> list[Rule]:
        """Which tokens never come, how timestamps stand among texts if there are any, and that loops end."""
        begins, end, config = len(self.special.start), self.special.ends[0], self.config
        rules = [suppress(config.suppress)] if config.suppress else []
        rules += [suppress_first(config.suppress_first, begins)] if config.suppress_first else []
        rules += [timestamps(self.speech.no_timestamps, end, begins)] if stamps else []
        return [*rules, end_loops(end, begins)]

    def predict(
        self, fused: Features, generation: Generation = GREEDY, keys: Sequence[str] = (), stream: Stream | None = None
    ) -> dict[str, Tensor]:
        """See `written.predict_text`."""
        prompt = self.prompt(self._languages(fused), len(fused.mask)).to(fused.mask.device)
        return predict_text(self, self.processor, fused, generation, keys, stream, prompt, self.rules())

    def decode(self, prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """See `written.decode_text`."""
        return decode_text(prediction, self.processor)

    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Nothing is chosen after training."""

    def language_probabilities(self, logits: Tensor) -> Tensor:
        """float32 [B, V], the logits after the start -> float32 [B, languages], in the order of `speech.languages`."""
        return logits[:, list(self.speech.languages.values())].softmax(dim=1)

    @torch.no_grad()
    def attention(self, fused: Features, read: Tensor) -> Tensor:
        """int64 [B, L], tokens that are read after the start -> float32 [B, A, 1 + L, S]: how the attention that times
        words, of A heads, goes from each of them to the fused tokens.
        """
        steps, crossing = self._whisper_steps(), dict.fromkeys(self.config.alignment)
        steps.read(self._with_start(read), steps.attend(*attended(fused, self.projector)), crossing)
        return torch.stack([crossing[pair] for pair in self.config.alignment], dim=1)

    @torch.no_grad()
    def _languages(self, fused: Features) -> list[str]:
        """The language of each row: the stated one, or the likeliest; [] of an English model."""
        if not self.speech.languages:
            return []
        if self.config.language is not None:
            return [self.speech.code_of(self.config.language)] * len(fused.mask)
        codes = list(self.speech.languages)
        return [codes[index] for index in self.language_probabilities(self.begin(fused)[0]).argmax(dim=1).tolist()]

    def _with_start(self, prompt: Tensor) -> Tensor:
        return nn.functional.pad(prompt, (1, 0), value=self.processor.start)

    def _whisper_steps(self) -> WhisperSteps:
        self._steps = whisper_steps(self.body, self._steps)
        return self._steps
