"""The training loop and its parts: optimizer, metrics, stop-watch, loss guard."""
