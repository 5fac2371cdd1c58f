"""Vectors that exist already: their files, the names of their rows, and the images of a source that they belong to."""
