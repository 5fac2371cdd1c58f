"""Parquet files with encoded images in a column."""
