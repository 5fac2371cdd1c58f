from tests.pairs.conftest import make_embeddings

__all__ = ["make_embeddings"]
