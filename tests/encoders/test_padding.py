"""Padding of sequences, which every processor uses."""

import torch

from sensorium.encoders.padding import column, pad_sequences


def test_each_row_stands_at_its_start_and_the_mask_says_where():
    batch, mask = pad_sequences([torch.tensor([5, 6, 7]), None, torch.tensor([8])], dtype=torch.int64, fill=-1)
    assert batch.tolist() == [[5, 6, 7], [-1, -1, -1], [8, -1, -1]]
    assert mask.tolist() == [[True, True, True], [False, False, False], [True, False, False]]


def test_rows_without_any_sequence_have_the_shortest_length():
    batch, mask = pad_sequences([None, None], (2,), shortest=3)
    assert batch.shape == (2, 3, 2) and batch.dtype == torch.float32 and not mask.any()


def test_a_column_keeps_absent_records():
    values, absent = column([{"values": torch.ones(2)}, None], "values")
    assert values.tolist() == [1.0, 1.0] and absent is None
