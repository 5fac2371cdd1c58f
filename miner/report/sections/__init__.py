"""Sections of the page without images: key numbers, coverage, training, accuracy, settings."""
