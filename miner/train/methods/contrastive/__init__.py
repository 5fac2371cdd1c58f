"""Methods with negatives: each contrasts views with those of other images."""
