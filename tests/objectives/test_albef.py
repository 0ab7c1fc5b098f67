"""ALBEF's three losses and their gradients against the paper's formulas, written down plainly; teacher and queue."""

import copy
import math

import pytest
import torch
from torch import Tensor

from sensorium.encoders.bert_text import BertTextConfig
from sensorium.encoders.clip_image import ClipImageConfig
from sensorium.families.albef import MASKED, AlbefConfig, albef, objectives
from sensorium.features import Batch
from sensorium.model import Model
from sensorium.objectives.momentum import Momentum, Queue
from sensorium.objectives.step import Step
from sensorium.training.learner import Learner
from sensorium.training.state import put_weights, trained

ROWS, DIM, SIZE = 5, 6, 7
CONFIG = AlbefConfig(
    image=ClipImageConfig(
        size=16, patch=8, width=12, depth=1, heads=2, pre_norm=False, patch_bias=True, augmentation=None, eps=1e-6
    ),
    text=BertTextConfig(vocabulary=20, context=8, width=8, depth=1, heads=2, kinds=2, dropout=0.0),
    fusion_layers=2,
    dim=DIM,
)


def tiny(seed: int = 0) -> Model:
    """An ALBEF whose every weight is stirred."""
    torch.manual_seed(seed)
    model = albef(CONFIG)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "logit_scale":
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def batch_of(seed: int = 0, rows: int = ROWS) -> Batch:
    """Pictures and texts of several lengths; the last two rows share a picture, row 1 has two masked words."""
    chance = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (rows, 3, 16, 16), generator=chance, dtype=torch.uint8)
    lengths = torch.tensor([6, 4, 5, 3, 6, 5, 4][:rows])
    real = torch.arange(6) < lengths[:, None]
    tokens = torch.randint(5, 20, (rows, 6), generator=chance)
    masked = torch.zeros(rows, 6, dtype=torch.bool)
    masked[[0, 1, 1, 3], [2, 1, 3, 1]] = True
    labels = torch.where(masked, tokens, -100)
    ids = torch.arange(rows)
    pictures = ids.clone()
    pictures[-1] = pictures[-2]
    pixels[-1] = pixels[-2]
    inputs = {
        "image": {"pixels": pixels, "mask": torch.ones(rows, 1, dtype=torch.bool)},
        "text": {"tokens": tokens, "mask": real},
        MASKED: {"tokens": torch.where(masked, 4, tokens), "mask": real, "labels": labels},
    }
    keys = [str(row) for row in range(rows)]
    return Batch(inputs, {}, {"image": pictures + 100 * seed, "text": ids + 100 * seed}, keys)


def taught(seed: int = 0, **options) -> tuple[Model, Momentum, Queue]:
    """A model, a teacher that is not quite it, and a queue that is nearly full."""
    model = tiny(seed)
    teacher = Momentum(tiny(seed), **options)
    with torch.no_grad():
        for name, _ in model.named_parameters():
            if name != "logit_scale":
                teacher.model.get_buffer(name).add_(torch.randn_like(teacher.model.get_buffer(name)) * 0.1)
    queue = Queue(SIZE, DIM)
    filling = torch.nn.functional.normalize(torch.randn(2, SIZE - 1, DIM), dim=2)
    queue.push(*filling, torch.arange(SIZE - 1) - 50, torch.arange(SIZE - 1) - 70)
    queue.ids_a[2] = 1  # a picture that is in the batch as well
    return model, teacher, queue


# The published algorithm, as one writes it down. It uses of the model its weights alone, by their names.


class Plain:
    """A model's numbers, computed one row at a time from its weights, without padding, packing or sharing."""

    def __init__(self, weights: dict[str, Tensor], model: Model):
        front = {"image": "encoders.parts.0.", "text": "encoders.parts.1."}
        heads = {name: f"heads.parts.{place}." for name, place in model.heads.index.items()}
        spaces = {name: f"projections.parts.{place}.linear." for name, place in model.projections.index.items()}
        self.of, self.front, self.heads, self.spaces = weights, front, heads, spaces

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.of[f"{name}.weight"].T + self.of[f"{name}.bias"]

    def norm(self, x: Tensor, name: str, eps: float) -> Tensor:
        middle = x - x.mean(-1, keepdim=True)
        length = (middle.pow(2).mean(-1, keepdim=True) + eps).sqrt()
        return middle / length * self.of[f"{name}.weight"] + self.of[f"{name}.bias"]

    @staticmethod
    def gelu(x: Tensor) -> Tensor:
        return x * (1 + torch.erf(x / math.sqrt(2))) / 2

    @staticmethod
    def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Two heads, each a softmax of products over the root of its width."""
        found = []
        for q, k, v in zip(*(part.chunk(2, dim=1) for part in (query, key, value)), strict=True):
            scores = (q @ k.T / math.sqrt(q.shape[1])).exp()
            found.append(scores / scores.sum(1, keepdim=True) @ v)
        return torch.cat(found, dim=1)

    def picture(self, pixels: Tensor) -> Tensor:
        """uint8 [3, 16, 16] -> [5, 12]: a class token and four patches through one pre-norm block."""
        front, config = self.front["image"], CONFIG.image
        mean, std = (torch.tensor(one, dtype=torch.float64)[:, None, None] for one in (config.mean, config.std))
        x = (pixels.double() / 255 - mean) / std
        rows = [x[:, i : i + 8, j : j + 8].flatten() for i in (0, 8) for j in (0, 8)]
        x = self.linear(torch.stack(rows), f"{front}patches")
        x = torch.cat([self.of[f"{front}summary"][None], x]) + self.of[f"{front}position"]
        block = f"{front}tower.blocks.0."
        x = x + self.linear(
            self.attention(*self.linear(self.norm(x, f"{block}norm", 1e-6), f"{block}qkv").chunk(3, dim=1)),
            f"{block}out",
        )
        inner = self.gelu(self.linear(self.norm(x, f"{block}mlp_norm", 1e-6), f"{block}mlp.rise"))
        return self.norm(x + self.linear(inner, f"{block}mlp.fall"), f"{front}tower.norm", 1e-6)

    def text(self, tokens: Tensor) -> Tensor:
        """int64 [L] -> [L, 8]."""
        front = f"{self.front['text']}embeddings."
        x = self.of[f"{front}words.weight"][tokens] + self.of[f"{front}places.weight"][: len(tokens)]
        x = self.norm(x + self.of[f"{front}kinds"][0], f"{front}norm", 1e-12)
        return self.block(x, f"{self.front['text']}blocks.0.")

    def block(self, x: Tensor, name: str, picture: Tensor | None = None, layer: int = 0) -> Tensor:
        own = self.attention(*self.linear(x, f"{name}attention.qkv").chunk(3, dim=1))
        x = self.norm(x + self.linear(own, f"{name}attention.out"), f"{name}attention.norm", 1e-12)
        if picture is not None:
            key, value = self.linear(picture, "fusion.asking.0.linear").chunk(4, dim=1)[2 * layer : 2 * layer + 2]
            crossing = f"{name}crossings.0."
            asked = self.attention(self.linear(x, f"{crossing}query"), key, value)
            x = self.norm(x + self.linear(asked, f"{crossing}out"), f"{crossing}norm", 1e-12)
        inner = self.linear(self.gelu(self.linear(x, f"{name}rise")), f"{name}fall")
        return self.norm(x + inner, f"{name}norm", 1e-12)

    def fused(self, picture: Tensor, text: Tensor) -> Tensor:
        for layer in range(2):
            text = self.block(text, f"fusion.blocks.{layer}.", picture, layer)
        return text

    def embedding(self, tokens: Tensor, name: str) -> Tensor:
        found = self.linear(tokens[0], self.spaces[name].removesuffix("."))
        return found / found.pow(2).sum().sqrt()

    def words(self, x: Tensor) -> Tensor:
        front = f"{self.heads['words']}network."
        x = self.norm(self.gelu(self.linear(x, f"{front}dense")), f"{front}norm", 1e-12)
        return x @ self.of[f"{self.front['text']}embeddings.words.weight"].T + self.of[f"{front}bias"]

    def match(self, x: Tensor) -> Tensor:
        return self.linear(x[0], f"{self.heads['match']}linear")


def log_softmax(x: Tensor) -> Tensor:
    return x - x.exp().sum().log()


class Case:
    """A batch seen by the plain student and the plain teacher, in float64."""

    def __init__(self, model: Model, teacher: Momentum, batch: Batch):
        weights = {name: value.detach().double().requires_grad_() for name, value in model.named_parameters()}
        self.weights, self.batch = weights, batch
        self.student = Plain(weights, model)
        self.teacher = Plain({name: value.double() for name, value in teacher.model.named_buffers()}, model)

    def seen(self, plain: Plain, view: str = "text") -> tuple[list[Tensor], list[Tensor]]:
        """Of each row the picture's tokens and the text's."""
        tokens, real = (self.batch.inputs[view][key] for key in ("tokens", "mask"))
        texts = [plain.text(row[keep]) for row, keep in zip(tokens, real, strict=True)]
        return [plain.picture(one) for one in self.batch.inputs["image"]["pixels"]], texts

    def aligned(self, queue: Queue, alpha: float) -> Tensor:
        """Equations 1, 2 and 6, a row at a time; targets spread over equal contents."""
        scale, sides = self.weights["logit_scale"].exp(), {}
        for who, plain in (("student", self.student), ("teacher", self.teacher)):
            for name, rows in zip(("image", "text"), self.seen(plain), strict=True):
                sides[who, name] = torch.stack([plain.embedding(one, name) for one in rows])
        held, ids = {"image": queue.a.double(), "text": queue.b.double()}, {"image": queue.ids_a, "text": queue.ids_b}
        count, total = int(queue.filled), 0.0
        everyone = {name: torch.cat([self.batch.ids[name], ids[name][:count]]) for name in held}
        for name, other in (("image", "text"), ("text", "image")):
            others = torch.cat([sides["teacher", other], held[other][:count]])
            for row in range(len(self.batch.keys)):
                hard = torch.zeros(len(others), dtype=torch.float64)
                for place in range(len(others)):
                    hard[place] = any(everyone[one][place] == self.batch.ids[one][row] for one in held)
                found = log_softmax(scale * others @ sides["student", name][row])
                soft = log_softmax(scale.detach() * others @ sides["teacher", name][row]).exp()
                total = total - ((alpha * soft + (1 - alpha) * hard / hard.sum()) * found).sum() / 2
        return total / len(self.batch.keys)

    def matched(self, pairs: list[tuple[int, int, bool]]) -> Tensor:
        """The mean cross-entropy of each (picture, text, whether they belong together)."""
        pictures, texts = self.seen(self.student)
        losses = [
            -log_softmax(self.student.match(self.student.fused(pictures[i], texts[j])))[int(belongs)]
            for i, j, belongs in pairs
        ]
        return torch.stack(losses).mean()

    def filled(self, alpha: float) -> Tensor:
        """Equations 3 and 7."""
        (pictures, texts), (theirs, their_texts) = self.seen(self.student, MASKED), self.seen(self.teacher, MASKED)
        losses = []
        for row, label in enumerate(self.batch.inputs[MASKED]["labels"]):
            fused = self.student.fused(pictures[row], texts[row])
            taught = self.teacher.fused(theirs[row], their_texts[row])
            for place in (label >= 0).nonzero()[:, 0]:
                found = log_softmax(self.student.words(fused[place]))
                soft = log_softmax(self.teacher.words(taught[place])).exp()
                losses.append(-(1 - alpha) * found[label[place]] - alpha * (soft * found).sum())
        return torch.stack(losses).mean()


def compare(model: Model, loss: Tensor, plain: Tensor, weights: dict[str, Tensor]) -> int:
    """Sees to it that losses and gradients agree; gives how many parameters have one."""
    assert abs(loss - plain) < 1e-5 * plain
    ours = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
    theirs = torch.autograd.grad(plain, list(weights.values()), materialize_grads=True)
    for name, one, other in zip(weights, ours, theirs, strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm() + 1e-7, f"{name}: {(one - other).norm() / other.norm():.1e}"
    return sum(bool(other.norm() > 1e-3) for other in theirs)


def test_alignment_and_its_gradient_are_the_formula():
    model, teacher, queue = taught()
    batch = batch_of()
    loss = objectives(teacher, queue)[0](Step(model, batch))["image_text"]
    case = Case(model, teacher, batch)
    assert compare(model, loss.total / loss.count, case.aligned(queue, 0.4), case.weights) > 25


def test_masked_words_and_their_gradient_are_the_formula():
    model, teacher, queue = taught(alpha=0.3)
    batch = batch_of()
    loss = objectives(teacher, queue)[2](Step(model, batch))["words"]
    assert loss.count == 4
    case = Case(model, teacher, batch)
    assert compare(model, loss.total / loss.count, case.filled(0.3), case.weights) > 50


def test_matching_and_its_gradient_are_the_formula_and_others_are_the_likest():
    model, teacher, queue = taught()
    batch = batch_of()
    matching = objectives(teacher, queue)[1].eval()
    step = Step(model, batch)
    loss = matching(step)["match"]
    alike, pairs = step.similarity("image", "text"), [(row, row, True) for row in range(ROWS)]
    same = {(3, 4), (4, 3)} | {(row, row) for row in range(ROWS)}
    for row in range(ROWS):
        may = [other for other in range(ROWS) if (row, other) not in same]
        pairs.append((row, max(may, key=lambda other, row=row: alike[row, other]), False))
        pairs.append((max(may, key=lambda other, row=row: alike[other, row]), row, False))
    assert loss.count == len(pairs) == matching.counts(batch)["match"]
    case = Case(model, teacher, batch)
    assert compare(model, loss.total / loss.count, case.matched(pairs), case.weights) > 50


def test_others_are_drawn_as_often_as_they_are_alike_and_never_of_equal_content():
    model, _, _ = taught()
    batch = batch_of()
    matching = objectives(Momentum(model), Queue(2, DIM))[1].train()
    step, drawn = Step(model, batch), torch.zeros(2, ROWS, ROWS)
    others = matching._negatives(batch)
    torch.manual_seed(0)
    for _ in range(500):
        found = matching._draw(step, others)
        drawn[0, torch.arange(ROWS), found.rows_b] += 1
        drawn[1, torch.arange(ROWS), found.rows_a] += 1
    logits = (model.logit_scale.exp() * step.similarity("image", "text")).detach().float()
    for counts, one in zip(drawn, (logits, logits.T), strict=True):
        chances = one.exp()
        chances[[3, 4], [4, 3]] = 0
        chances.fill_diagonal_(0)
        wanted = chances / chances.sum(1, keepdim=True)
        assert (counts[wanted == 0] == 0).all()
        assert ((counts / 500 - wanted).abs() < 4 * (wanted * (1 - wanted) / 500).sqrt() + 1e-6).all()


def test_records_that_lack_a_side_count_for_nothing_and_their_noise_is_not_read():
    model, teacher, queue = taught()
    losses = []
    for noise in (0, 7):
        batch = batch_of(rows=6)
        batch.inputs["image"]["mask"][1] = False
        batch.inputs["image"]["pixels"][1] = noise
        batch.inputs["text"]["mask"][2] = batch.inputs[MASKED]["mask"][2] = False
        batch.inputs["text"]["tokens"][2] = noise
        parts = [one.eval() for one in objectives(teacher, queue)]
        counts = [int(one.counts(batch)[name]) for one in parts for name in one.weights]
        found = [loss for one in parts for loss in one(Step(model.eval(), batch)).values()]
        assert counts == [4, 12, 4] == [int(loss.count) for loss in found]
        losses.append(torch.stack([loss.total for loss in found]))
    assert torch.equal(*losses) and losses[0].isfinite().all()


def test_a_batch_of_one_picture_has_no_others():
    model, teacher, queue = taught()
    batch = batch_of()
    batch.ids["image"][:] = 9
    matching = objectives(teacher, queue)[1]
    loss = matching(Step(model, batch))["match"]
    assert loss.count == ROWS == matching.counts(batch)["match"] and loss.total.isfinite()


def learner_of(ramp: int = 0) -> Learner:
    model, teacher, queue = taught(ramp=ramp)
    return Learner(model, objectives(teacher, queue)).train()


def test_nothing_moves_in_forward_and_evaluating_leaves_no_trace():
    learner = learner_of()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    learner.eval()
    once, again = (learner(batch_of(1)) for _ in range(2))
    assert all(torch.equal(once[name].total, again[name].total) for name in once)
    learner.train()
    learner(batch_of(1))
    learner.eval()
    learner(batch_of(2))
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    learner.post_step()
    queue = learner.objectives[0].queue
    assert queue.filled == SIZE and queue.pointer == (SIZE - 1 + ROWS) % SIZE  # the training batch, and no other
    assert torch.equal(queue.ids_b[[6, 0, 1, 2, 3]], batch_of(1).ids["text"])


def test_a_step_of_two_pieces_moves_teacher_and_queue_once():
    learner = learner_of(ramp=4)
    teacher, queue = learner.objectives[0].teacher, learner.objectives[0].queue
    kept = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    wanted = [teacher.step(batch_of(seed)).embedding("text").clone() for seed in (1, 2)]
    assert teacher.alpha == 0.0
    for seed in (1, 2):
        learner(batch_of(seed))
    learner.post_step()
    for name, parameter in learner.model.named_parameters():
        moved = 0.995 * kept[name] + 0.005 * parameter
        torch.testing.assert_close(teacher.model.get_buffer(name), moved.detach())
    places = (SIZE - 1 + torch.arange(2 * ROWS)) % SIZE
    torch.testing.assert_close(queue.b[places[-SIZE:]], torch.cat(wanted)[-SIZE:])
    assert teacher.alpha == pytest.approx(0.1) and teacher.steps == 1
    learner.post_step()
    assert queue.pointer == (SIZE - 1 + 2 * ROWS) % SIZE  # what is in the queue does not join it again


def test_what_training_saves_holds_teacher_and_queue_once():
    learner = learner_of()
    saved = trained(learner)
    assert any(name.startswith("objectives.0.teacher.model.") for name in saved)
    assert not any(name.startswith("objectives.2.teacher.") for name in saved)
    learner(batch_of(1))
    learner.post_step()
    kept = {name: value.clone() for name, value in trained(learner).items()}
    other = learner_of()
    put_weights(other, kept)
    assert all(torch.equal(value, kept[name]) for name, value in trained(other).items())
    theirs, ours = (one(batch_of(3)) for one in (learner, copy.deepcopy(other)))
    for name in ("image_text", "words"):
        assert torch.equal(theirs[name].total, ours[name].total)


def counted(model: Model) -> dict[str, list[int]]:
    """By what is called, the rows of each call from now on."""
    calls: dict[str, list[int]] = {"asked": [], "image": [], "text": []}
    model.fusion.asking[0].register_forward_hook(lambda _, given, __: calls["asked"].append(len(given[0])))
    for name, encoder in model.encoders.items():
        encoder.register_forward_hook(lambda _, given, __, name=name: calls[name].append(len(given[0]["mask"])))
    return calls


def test_each_encoder_is_run_once_and_the_picture_asked_once_for_all_passes():
    model, teacher, queue = taught()
    mine, its = counted(model), counted(teacher.model)
    Learner(model, objectives(teacher, queue))(batch_of())
    # A picture that two rows share is encoded and asked once; a text and its masked view are rows of one batch.
    assert mine == its == {"asked": [ROWS - 1], "image": [ROWS - 1], "text": [2 * ROWS]}


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_what_is_asked_once_is_what_each_row_asks(dropout):
    batch = batch_of()
    batch.inputs["image"]["mask"][2] = False
    found = []
    for ids in (batch.ids, {}):
        model = tiny().train()
        torch.manual_seed(0)
        fused = Step(model, batch._replace(ids=ids), modality_dropout=dropout).fused()
        fused.pooled.pow(2).sum().backward()
        found.append([fused.tokens, fused.pooled, *(one.grad for one in model.fusion.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_teacher_that_counts_for_nothing_reads_no_masked_text():
    model, teacher, queue = taught(alpha=0.0)
    its = counted(teacher.model)
    Learner(model, objectives(teacher, queue))(batch_of())
    assert its["text"] == [ROWS] and its["asked"] == []


def test_a_step_whose_heads_read_summaries_fuses_no_more():
    model, batch = tiny(), batch_of()
    whole = Step(model, batch).fused()
    del model.heads.index["words"]
    short = Step(model, batch).fused()
    assert whole.tokens.shape[1] > 1 == short.tokens.shape[1]
    torch.testing.assert_close(short.pooled, whole.pooled)


def test_views_that_go_through_the_encoder_together_are_as_apart():
    model, batch = tiny(), batch_of()
    batch.inputs["text"]["mask"][0] = False  # what one view lacks, the other may have
    together = model.encode(batch.inputs)
    for view, value in batch.inputs.items():
        for one, other in zip(together[view], model.encode({view: value})[view], strict=True):
            torch.testing.assert_close(one, other)
    longer = {key: torch.nn.functional.pad(value, (0, 1)) for key, value in batch.inputs[MASKED].items()}
    apart = model.encode(batch.inputs | {MASKED: longer})[MASKED]
    torch.testing.assert_close(apart.pooled, together[MASKED].pooled)


def test_a_summary_alone_is_the_summary_of_all_and_so_are_its_gradients():
    batch = batch_of()
    batch.inputs["text"]["mask"][[0, 3]] = False
    batch.inputs["image"]["mask"][[0, 1]] = False  # row 0 has nothing, 1 a text, 3 a picture
    found = []
    for summary_only in (False, True):
        model = tiny()
        fused = model.fuse(model.encode(batch.inputs), summary_only=summary_only)
        fused.pooled.pow(2).sum().backward()
        found.append([fused.pooled, fused.present, *(one.grad for one in model.fusion.parameters())])
    assert fused.tokens.shape == (ROWS, 1, 8) and not fused.present[0]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_words_head_shares_the_texts_embeddings_also_in_a_copy_and_after_loading(tmp_path):
    from sensorium.model import load

    model = albef(CONFIG)
    model.save(tmp_path / "model")
    for one in (model, load(tmp_path / "model"), copy.deepcopy(model)):
        assert one.heads["words"]._lender[0] is one.encoders["text"]
    assert sum(name.endswith("words.weight") for name in model.state_dict()) == 1
