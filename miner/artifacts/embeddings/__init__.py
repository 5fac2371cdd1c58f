"""The embeddings/ folder: vectors by blocks of rows, and a metadata table beside them."""
