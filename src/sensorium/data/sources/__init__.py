"""Where records come from: tables, folders, tar shards, saved Datasets and published data sets, each made one frame."""
