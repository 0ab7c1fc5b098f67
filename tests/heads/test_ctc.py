"""The head `ctc`: its loss, what it writes with and without beams, absent inputs, texts that are too long."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sensorium.data.columns.parse import objects
from sensorium.data.targets.text import TextColumn
from sensorium.data.targets.tokens import Tokens
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.generation.settings import Generation
from sensorium.heads.ctc import CTC, CTCConfig

TEXTS = ["one two", "too", "öde Straße", "seven eight nine"]
SEARCHES = {"greedy": Generation(), "beams": Generation(beams=4, best=3)}


@pytest.fixture(scope="module", params=[(None, 1), (None, 3), (300, 1)], ids=["letters", "more frames", "pieces"])
def head(request) -> CTC:
    pieces, each = request.param
    return build(CTCConfig(width=16, pieces=pieces, each=each))


def build(config: CTCConfig) -> CTC:
    torch.manual_seed(0)
    head = CTC.build(config, 12, TEXTS)
    for weight in head.parameters():  # far from the start, so that texts differ by row
        torch.nn.init.normal_(weight, std=0.7)
    return head.eval()


def fused(absent: tuple[int, ...] = (2,)) -> Features:
    """Five rows, of which the second's real tokens are not its first ones, as after two inputs."""
    mask = torch.ones(5, 20, dtype=torch.bool)
    mask[1, 3:8] = False
    mask[3, 9:] = False
    mask[list(absent)] = False
    tokens = torch.randn(5, 20, 12, generator=torch.Generator().manual_seed(1)) * mask[..., None]
    return Features(tokens, mask, tokens.mean(dim=1))


def target(head: CTC, cells: list) -> dict[str, torch.Tensor]:
    return TextColumn(objects(cells), head.processor)(np.arange(len(cells)))


CELLS = [["one two"], ["too", "two"], ["one"], ["seven eight nine"], None]


def test_letters_are_those_of_the_training_texts_and_one_for_all_others():
    head = build(CTCConfig(width=16))
    assert head.processor.vocabulary == 3 + len(set("".join(TEXTS)))
    spelled = head.processor.spell(head.processor("to x\nsöt"))
    assert spelled == "to \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}söt"


def test_the_loss_is_that_of_each_text_alone_by_its_tokens(head):
    warns = pytest.warns(UserWarning, match="more letters than its record has frames")
    with warns if fits_not(head) else nullcontext():
        losses = head.loss(fused(), target(head, CELLS))
    logprobs, lengths = head.logprobs(fused())
    tokens = [torch.tensor(head.processor(text)[:-1]) for text in ("one two", "too", "two")]
    single = [
        F.ctc_loss(logprobs[row, : lengths[row]], text, lengths[row], torch.tensor(len(text)), reduction="none")
        / (len(text) + 1)
        for row, text in zip((0, 1, 1), tokens, strict=True)
    ]
    torch.testing.assert_close(losses[:2], torch.stack([single[0], (single[1] + single[2]) / 2]))
    prior = [-head.prior[torch.tensor(head.processor(text))].mean() for text in ("one", "seven eight nine")]
    torch.testing.assert_close(losses[2], prior[0])  # no input
    if fits_not(head):
        torch.testing.assert_close(losses[3], prior[1])
    assert losses[4] == 0


def fits_not(head: CTC) -> bool:
    return len(head.processor("seven eight nine")) - 1 > 9 * head.config.each


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_text_that_is_too_long_leaves_the_gradient_as_it_was(head):
    def gradient(cells: list) -> list[torch.Tensor]:
        head.zero_grad()
        head.loss(fused(), target(head, cells)).sum().backward()
        return [parameter.grad.clone() for parameter in head.parameters()]

    long = "seven eight nine " * 9
    for left, right in zip(
        gradient([["too"], *[None] * 4]), gradient([["too"], [long], [long], None, None]), strict=True
    ):
        assert left.isfinite().all()
        torch.testing.assert_close(left, right)
    assert all((each == 0).all() for each in gradient([None] * 5))


@pytest.mark.parametrize("name", SEARCHES)
def test_a_row_alone_writes_what_it_writes_in_a_batch(head, name):
    batch = head.predict(fused(), SEARCHES[name])
    decoded = head.decode(batch, [])
    assert len({row["decision"] for row in decoded}) == 5
    for row in range(5):
        keep = fused().mask[row] if row != 2 else torch.ones(20, dtype=torch.bool)
        single = Features(*(tensor[row : row + 1] for tensor in fused()))
        single = Features(single.tokens[:, keep], single.mask[:, keep], single.pooled)
        alone = head.predict(single, SEARCHES[name])
        assert head.decode(alone, [])[0]["decision"] == decoded[row]["decision"]
        torch.testing.assert_close(alone["probability"][0], batch["probability"][row], atol=1e-6, rtol=1e-4)
        losses = head.loss(single, target(head, [["too"]])), head.loss(fused(), target(head, [["too"]] * 5))
        torch.testing.assert_close(losses[0][0], losses[1][row])


def test_what_fills_an_absent_slot_changes_nothing(head):
    noisy = fused()
    noisy = Features(torch.where(noisy.mask[..., None], noisy.tokens, torch.nan), noisy.mask, noisy.pooled)
    for search in SEARCHES.values():
        for left, right in zip(
            head.predict(fused(), search).values(), head.predict(noisy, search).values(), strict=True
        ):
            assert torch.equal(left, right)


def test_a_row_without_any_input_has_an_empty_text_with_its_probability_in_training(head):
    row = head.decode(head.predict(fused(), SEARCHES["beams"]), [])[2]
    assert row["decision"] == "" and row["probability"] == pytest.approx(float(head.prior[head.processor.end[0]].exp()))
    assert [text["probability"] for text in row["alternatives"][1:]] == [0, 0]


def test_beams_are_ranked_by_the_probability_of_their_texts(head):
    written = head.predict(fused(), SEARCHES["beams"])
    assert written["tokens"].shape[1] == 3 and (written["probability"].diff(dim=1) <= 0).all()
    greedy = head.predict(fused())
    gain = written["probability"][:, 0] / greedy["probability"][:, 0]
    assert (gain > 0.999).all() and (gain > 1.1).any()
    tokens = written["tokens"][0, 0]
    tokens = tokens[tokens != 0]
    logprobs, lengths = head.logprobs(fused())
    loss = F.ctc_loss(logprobs[0], tokens, lengths[0], torch.tensor(len(tokens)), reduction="none")
    assert float(written["probability"][0, 0]) == pytest.approx((-loss).exp().item(), rel=1e-4)


def test_a_stream_hears_the_tokens_of_the_best_text(head):
    heard: list[tuple[int, int]] = []
    written = head.predict(fused(), SEARCHES["beams"], stream=lambda row, token: heard.append((row, token)))
    assert heard == [
        (row, token) for row, text in enumerate(written["tokens"][:, 0].tolist()) for token in text if token
    ]


def test_a_search_token_by_token_is_refused(head):
    head.predict(fused(), Generation(seed=3))
    with pytest.raises(UserError, match="takes no max_tokens, stop;"):
        head.predict(fused(), Generation(max_tokens=3, stop=("a",)))


def test_calibration_says_how_many_texts_are_too_long(head):
    cells = [["too"], ["seven eight nine " * 9], ["seven eight nine " * 9], None, None]
    with pytest.warns(UserWarning, match="1 of the 3 validation texts: a text has more letters"):
        head.calibrate(fused(), target(head, cells))


def test_a_head_is_rebuilt_from_what_is_saved(head, tmp_path):
    head.processor.save(tmp_path)
    again = CTC(head.config, 12, Tokens.load(tmp_path)).eval()
    again.load_state_dict(head.state_dict())
    for left, right in zip(head.predict(fused()).values(), again.predict(fused()).values(), strict=True):
        assert torch.equal(left, right)
    assert again.decode(again.predict(fused()), []) == head.decode(head.predict(fused()), [])


def test_frames_alone_without_recurrent_layers():
    head = build(CTCConfig(depth=0, each=2))
    assert head.recurrent is None and head.labels.in_features == 12
    logprobs, lengths = head.logprobs(fused())
    assert logprobs.shape[1] == 40 and lengths.tolist() == [40, 30, 0, 18, 40]
    tokens = torch.stack([head.labels(fused().tokens[0, 4])]).unflatten(1, (2, -1)).log_softmax(dim=2)
    torch.testing.assert_close(logprobs[0, 8:10], tokens[0])
    assert len(head.decode(head.predict(fused()), [])) == 5
