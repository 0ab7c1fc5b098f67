"""Training: learner, loop, precision, distribution, feature cache, saved state."""
