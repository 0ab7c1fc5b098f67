"""What the tokens of a picture learn beside places that are written."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import sensorium
from sensorium.data.targets.text import hash_texts
from sensorium.errors import UserError
from sensorium.features import Batch, Features
from sensorium.fusion.sequence import Sequence
from sensorium.fusion.transformer import TransformerFusion
from sensorium.objectives.dense_places import UNKNOWN, DensePlaces, middles, smallest_over
from sensorium.objectives.step import Step


def loop_over(boxes, real, side):
    """Plainly: for each part of a picture the smallest box over its middle."""
    found = np.full((len(boxes), side * side), -1)
    for row in range(len(boxes)):
        width, height = (boxes[row, :, side_from + 2] - boxes[row, :, side_from] for side_from in (0, 1))
        order = [index for index in (-width * height).argsort().tolist() if real[row, index]]
        for index in order:
            x0, y0, x1, y1 = boxes[row, index].tolist()
            parts = [
                line * side + column
                for line in range(side)
                for column in range(side)
                if x0 <= (column + 0.5) / side < x1 and y0 <= (line + 0.5) / side < y1
            ]
            found[row, parts] = index
            if not parts:
                found[row, int((y0 + y1) / 2 * side) * side + int((x0 + x1) / 2 * side)] = index
    return found


def test_each_part_of_a_picture_has_the_smallest_place_over_its_middle():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((40, 5, 2, 2)), axis=2)  # [B, M, 2 corners, x and y]
    boxes, real = torch.tensor(corners.reshape(40, 5, 4)), torch.tensor(rng.random((40, 5)) < 0.8)
    assert (smallest_over(boxes, real, 7).numpy() == loop_over(boxes, real, 7)).all()


def test_a_place_between_the_middles_is_in_the_part_of_its_own_middle():
    tiny = torch.tensor([[[0.26, 0.01, 0.3, 0.04], [0.9, 0.9, 1.0, 1.0]]])
    assert smallest_over(tiny, torch.tensor([[True, False]]), 4).tolist() == [[-1, 0] + [-1] * 14]


def test_middles_go_line_by_line():
    assert middles(2, torch.device("cpu")).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_tokens_of_an_input_are_taken_from_those_of_all():
    def alike(count, value):
        return Features(torch.full((2, count, 3), value), torch.ones(2, count, dtype=torch.bool), torch.zeros(2, 3))

    fusion = SimpleNamespace(token_order=["sound", "text", "picture"])
    step = Step(SimpleNamespace(fusion=fusion, training=True), Batch({}, {}, {}, []))
    step._features = {"text": alike(4, 1.0), "picture": alike(9, 2.0), "sound": alike(2, 3.0)}
    tokens = torch.cat([step._features[name].tokens for name in fusion.token_order], dim=1)
    step._fused = {(): alike(15, 0.0)._replace(tokens=tokens)}
    taken = step.fused_tokens("picture")
    assert (taken.tokens == 2.0).all() and taken.tokens.shape == (2, 9, 3)
    assert taken.mask.shape == (2, 9)


@pytest.mark.parametrize("kind", [TransformerFusion, Sequence])
def test_a_fusion_says_in_which_order_the_tokens_of_its_inputs_stand(kind):
    torch.manual_seed(0)
    dims, counts = {"text": 32, "picture": 16, "sound": 32}, {"text": 4, "picture": 9, "sound": 2}
    fusion = kind(kind.Config(dim=32), dims).eval()
    for hidden in dims:
        features = {
            name: Features(
                torch.randn(1, counts[name], width),
                torch.full((1, counts[name]), name != hidden),
                torch.zeros(1, width),
            )
            for name, width in dims.items()
        }
        expected = [name != hidden for name in fusion.token_order for _ in range(counts[name])]
        assert fusion(features).mask[0].tolist() == expected


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Pictures of one or two squares, of which the red ones and the blue ones have names."""
    folder, rng, rows = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0), []
    for number in range(48):
        pixels = np.full((32, 32, 3), 200, dtype=np.uint8)
        places = []
        for left in (rng.integers(0, 6), rng.integers(16, 22)):
            red, top = bool(rng.integers(2)), int(rng.integers(0, 20))
            pixels[top : top + 10, left : left + 10] = (220, 20, 20) if red else (20, 20, 220)
            places.append({"label": "red" if red else "blue", "box": [int(left), top, int(left) + 10, top + 10]})
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append({"picture": str(folder / f"{number}.png"), "things": places})
    return pd.DataFrame(rows)


def fitted(scenes, folder, **settings):
    return sensorium.fit(
        scenes, folder, target={"things": "boxes"}, quiet=True, refit=False, near_copies=False, epochs=2, **settings
    )


def test_a_fit_of_places_learns_them_at_the_tokens_too(scenes, tmp_path):
    fitted(scenes, tmp_path / "run")
    log = pd.read_csv(tmp_path / "run/log.csv")
    assert log["loss_things/dense"].iloc[1] < log["loss_things/dense"].iloc[0]
    assert np.allclose(log["loss"], log["loss_things"] + log["loss_things/dense"])


def test_a_fusion_that_does_not_keep_the_tokens_learns_without(scenes, tmp_path):
    fitted(scenes, tmp_path / "run", fusion="resampler")
    assert "loss_things/dense" not in pd.read_csv(tmp_path / "run/log.csv")


def test_a_label_that_the_head_does_not_remember_is_not_learned(scenes, tmp_path):
    run = fitted(scenes, tmp_path / "run")
    objective = DensePlaces(run.model, "things", "picture", weight=0.5)
    assert objective.weights == {"things/dense": 0.5}
    labels = torch.tensor([[hash_texts(["red"]), hash_texts(["green"]), 0], [hash_texts(["blue"]), 0, 0]])
    classes = objective._classes(labels)
    assert classes[:, 0].sort().values.tolist() == [1, 2] and (classes[0, 1:] == UNKNOWN).all()
    upper = torch.tensor([[[0.0, 0.0, 1.0, 0.5]]] * 2)  # over two of four parts; over the others there is nothing
    shown = Features(torch.randn(2, 4, 128), torch.ones(2, 4, dtype=torch.bool), torch.zeros(2, 128))
    with torch.no_grad():
        losses = -objective.label(shown.tokens).log_softmax(dim=2)  # [rows, parts, classes]
        named = losses[torch.arange(2), :, classes[:, 0]]
        expected = (named[:, :2].sum(dim=1) + losses[:, 2:, 0].sum(dim=1)) / 4
        assert torch.allclose(objective._loss(shown, {"boxes": upper, "labels": labels[:, :1]}), expected)
        unknown = objective._loss(shown, {"boxes": upper, "labels": labels[:, 1:2]})
        assert torch.allclose(unknown[0], losses[0, 2:, 0].sum() / 4)


def test_a_run_that_goes_on_learns_the_target_alone(scenes, tmp_path):
    fitted(scenes, tmp_path / "run")
    fitted(scenes.sample(frac=1, random_state=1), tmp_path / "on", start_from=tmp_path / "run")
    assert "loss_things/dense" not in pd.read_csv(tmp_path / "on/log.csv")


def test_a_table_of_places_is_inspected(scenes):
    report = sensorium.inspect(scenes, target={"things": "boxes"})
    assert "places" in str(report.to_dict())


def test_stored_views_of_a_picture_with_places_are_refused(scenes, tmp_path):
    views = {"inputs": {"picture": {"encoder": "image_conv", "frozen": True, "views": 2}}}
    with pytest.raises(UserError, match="places of 'things' would not move with the stored views of 'picture'"):
        fitted(scenes, tmp_path / "run", recipe=views)
