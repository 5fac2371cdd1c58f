"""Faults on purpose: every stage is killed, starved of disk space, run twice at once, and its files are flipped."""
