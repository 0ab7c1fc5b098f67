"""From files to batches: schema, sources, one file per modality, splits, batching."""
