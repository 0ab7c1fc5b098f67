"""Comparing: every way of fusing on the same folds, the same features and the same seeds."""
