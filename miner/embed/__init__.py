"""Frozen encoders over original images -> embeddings/."""
