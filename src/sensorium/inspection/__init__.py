"""Looking at a table before training: every check gives findings, sentences that say what, where and what to do."""
