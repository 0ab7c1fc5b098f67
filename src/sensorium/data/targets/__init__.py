"""Targets: how the cells of each kind of target become labels, answers and the tensors that heads learn from."""
