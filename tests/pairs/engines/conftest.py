import faiss
import pytest


@pytest.fixture
def threads():
    """Sets the number of threads of FAISS for one test."""
    usual = faiss.omp_get_max_threads()
    yield faiss.omp_set_num_threads
    faiss.omp_set_num_threads(usual)
