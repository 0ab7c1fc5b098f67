"""The way into a shared space: linear as CLIP's, or with a layer between; saved with the model."""

import torch

from sensorium.nn.projection import Projection


def test_it_is_one_linear_map_unless_more_is_asked_for():
    torch.manual_seed(0)
    projection, pooled = Projection(6, 4), torch.randn(3, 6)
    assert [name for name, _ in projection.named_parameters()] == ["linear.weight"]
    torch.testing.assert_close(projection(pooled), pooled @ projection.linear.weight.T)


def test_with_all_its_parts_it_is_the_plain_formula():
    torch.manual_seed(0)
    projection, pooled = Projection(6, 4, bias=True, hidden=5, norm=True).eval(), torch.randn(3, 6) * 9 + 2
    centred = pooled - pooled.mean(dim=1, keepdim=True)
    normed = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
    hidden = torch.nn.functional.gelu(normed @ projection.hidden.weight.T + projection.hidden.bias)
    torch.testing.assert_close(projection(pooled), hidden @ projection.linear.weight.T + projection.linear.bias)


def test_dropout_is_of_training_alone_and_drops_what_the_first_map_reads():
    torch.manual_seed(0)
    projection, pooled = Projection(400, 2, dropout=0.5), torch.ones(1, 400)
    with torch.no_grad():
        projection.linear.weight.copy_(torch.eye(2, 400))
        drawn = torch.cat([projection(pooled) for _ in range(200)])
    assert set(drawn.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(projection.eval()(pooled), torch.ones(1, 2))


def test_its_shape_rebuilds_it():
    for options in ({}, {"bias": True}, {"hidden": 5, "norm": True, "dropout": 0.25}):
        projection = Projection(6, 4, **options)
        again = Projection(*projection.shape)
        again.load_state_dict(projection.state_dict())
        pooled = torch.randn(2, 6)
        assert again.shape == projection.shape
        assert torch.equal(again.eval()(pooled), projection.eval()(pooled))
