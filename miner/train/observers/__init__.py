"""Measurements after each epoch that do not change the run: RankMe, kNN accuracy, the method's own numbers."""
