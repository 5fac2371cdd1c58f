"""What manifests say beside their files, for tests that write a folder of a workspace by hand."""


def embeddings_record(source: str, count: int) -> dict[str, object]:
    """What a manifest of embeddings says, beside its files."""
    return {
        "request": {"source": source},
        "source": {"spec": source, "images": count, "classes": None},
        "encoder": {"name": "none"},
        **{"blocks": 2, "dim": 1, "dtype": "float32", "count": count, "errors": {}},
    }


def pairs_record(pairs: int) -> dict[str, object]:
    """What a manifest of pairs says, beside its files."""
    return {
        "request": {"embeddings": "none", "band": {"min": 0.9, "max": 0.99}},
        "encoder": {"name": "none"},
        **{"images": pairs, "pairs": pairs, "images_in_pairs": pairs, "image_coverage": 1.0, "duplicates": 0},
        "degree": {"mean": 1.0, "median": 1.0, "max": 1},
        **{"labels": None, "histogram": {}, "exact": True},
    }


def shards_record(images: int, pairs: int, classes: list[str] | None = None) -> dict[str, object]:
    """What a manifest of shards says, beside its files."""
    return {
        "request": {"pairs": "none"},
        **{"source": "sample", "classes": classes, "encoder": {"name": "none"}, "images": images, "pairs": pairs},
        **{"images_in_pairs": images, "left_out": {}, "labels": None, "samples": {}},
    }


def run_record(method: str) -> dict[str, object]:
    """What the manifest of a run says, beside its files."""
    return {
        "request": {"inputs": "none"},
        **{"method": method, "pairs_arm": "none", "images": 2, "pairs": 0, "epochs": 1, "steps": 1},
        **{"pair_label_precision": None, "final_loss": 1.0},
    }
