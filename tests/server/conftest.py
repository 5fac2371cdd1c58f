from tests.review.conftest import mined, start_review, workspace

__all__ = ["mined", "start_review", "workspace"]
