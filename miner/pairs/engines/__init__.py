"""Engines that propose pairs above a threshold: exact ones with proven margins, FAISS, and approximate ones."""
