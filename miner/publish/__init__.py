"""Shards and pairs as a data set repository: files, card, Croissant record, checksums, upload to the Hugging Face Hub."""
