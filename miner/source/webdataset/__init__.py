"""WebDataset shards: tar files in which the members of one sample share a name."""
