"""How a text is searched for: one set of options for the command line, Python and the service."""

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, Field, model_validator


class Generation(BaseModel, frozen=True, extra="forbid"):
    """Greedy without beams and temperature; with several beams the likeliest of them; with a temperature, sampled."""

    beams: int = Field(1, ge=1, description="sequences that are kept at each step")
    best: int = Field(1, ge=1, description="texts that are given: the best beams, or so many samples")
    length_penalty: float = Field(1.0, description="beams are ranked by score / length ** this")
    early_stopping: bool | Literal["never"] = Field(
        False, description="whether a search ends with as many finished beams as are kept, as Transformers has it"
    )
    temperature: float = Field(0.0, ge=0, description="of sampling; 0 takes the likeliest token")
    top_p: float = Field(1.0, gt=0, le=1, description="samples among the likeliest tokens of this probability in all")
    top_k: int | None = Field(None, ge=1, description="samples among so many of the likeliest tokens")
    repetition_penalty: float = Field(1.0, gt=0, description="above 1, tokens that were written become less likely")
    no_repeat_ngram: int = Field(0, ge=0, description="no sequence of so many tokens comes twice; 0 for no limit")
    max_tokens: int | None = Field(None, ge=1, description="most tokens that are written; none: the decoder's context")
    min_tokens: int = Field(0, ge=0, description="a text does not end before it has so many tokens")
    seed: int = Field(0, ge=0, description="samples follow from it and from each record's key")
    stop: tuple[str, ...] = Field((), description="a text ends before the first of these")
    choices: tuple[str | tuple[int, ...], ...] = Field((), description="the text is one of these")
    forced: str | tuple[int, ...] = Field((), description="text, or tokens, that the output begins with")
    forbidden: tuple[int | str | tuple[int, ...], ...] = Field((), description="texts, or tokens, that never come")

    @model_validator(mode="after")
    def _check(self) -> "Generation":
        if self.beams > 1 and self.temperature > 0:
            raise ValueError("beams take the likeliest and temperature samples; leave one of the two out")
        if self.temperature == 0 and (self.top_p < 1 or self.top_k is not None):
            raise ValueError("top_p and top_k say what is sampled from; state a temperature, as 1, or leave them out")
        if self.temperature == 0 and self.best > self.beams:
            raise ValueError(f"best ({self.best}) is more than beams ({self.beams}); raise beams, or state temperature")
        if any(not text for text in (*self.stop, *self.choices, *self.forbidden) if not isinstance(text, int)):
            raise ValueError("an empty text can neither be chosen nor stop or be forbidden")
        return self

    def as_tokens(self, encode: Callable[[str], list[int]]) -> "Generation":
        """The same with tokens in the place of texts. encode: a text -> its tokens, the end last."""

        def forbidden(text: int | str | tuple[int, ...]) -> list[tuple[int, ...]]:
            if isinstance(text, str):  # a token of a word often has the space before it
                return list(dict.fromkeys((tuple(encode(text)[:-1]), tuple(encode(f" {text}")[:-1]))))
            return [(text,) if isinstance(text, int) else text]

        return self.model_copy(
            update={
                "choices": tuple(tuple(encode(text)) if isinstance(text, str) else text for text in self.choices),
                "forced": tuple(encode(self.forced)[:-1]) if isinstance(self.forced, str) else self.forced,
                "forbidden": tuple(tokens for text in self.forbidden for tokens in forbidden(text)),
            }
        )
