"""Engines that propose pairs above a threshold: exact, FAISS, approximate. `sketch.py` holds the bound that skips work."""
