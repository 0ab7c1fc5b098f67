"""From settings and a training table to a model: new, with parts of a trained one, or going on from one."""
