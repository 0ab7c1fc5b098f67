"""From a loaded model and records to plain values: predict, classify, answer; and a few of them to look at."""
