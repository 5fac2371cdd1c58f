"""Networks and their parts: backbones, heads, normalisation, momentum encoders, weights from files."""
