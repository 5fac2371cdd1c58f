"""What other tools call a leak: run by tests/bench/leaks.py, with an interpreter that has them.

    python tests/bench/leaks_peers.py PEER FOLDER RESULT

FOLDER holds train/, test/ and vectors.npz (names, and unit vectors of miner's encoder). RESULT becomes a list of [train, test]
names, or {"absent": REASON}.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

Pairs = Iterable[tuple[str, str]]


def vectors_of(folder: Path) -> dict[str, np.ndarray]:
    found = np.load(folder / "vectors.npz")
    return dict(zip(found["names"].tolist(), found["vectors"].astype(np.float32), strict=True))


def listed(found: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    return ((name, other) for name, others in found.items() for other in others)


def imagededup_hash(folder: Path, name: str) -> Pairs:
    """The default: hashes of a Hamming distance of at most 10."""
    from imagededup import methods

    hasher = getattr(methods, name)()
    codes = {
        f"{part}/{path.name}": hasher.encode_image(image_file=str(path))
        for part in ("train", "test")
        for path in sorted((folder / part).iterdir())
    }
    return listed(hasher.find_duplicates(encoding_map={name: code for name, code in codes.items() if code}))


def imagededup_cnn(folder: Path) -> Pairs:
    """Its search and its default threshold (a cosine of 0.9), with miner's vectors: its own network is fetched from the web."""
    from imagededup.methods import CNN

    cnn = CNN.__new__(CNN)  # without the network
    cnn.verbose, cnn.logger = False, logging.getLogger("imagededup")
    return listed(cnn.find_duplicates(encoding_map=vectors_of(folder), min_similarity_threshold=0.9))


def fiftyone_leaky_splits(folder: Path) -> Pairs:
    """Its default threshold (a cosine distance of 0.2), with miner's vectors: its own network is fetched from the web."""
    import fiftyone
    import fiftyone.brain

    vectors = vectors_of(folder)
    data = fiftyone.Dataset()
    samples = [fiftyone.Sample(filepath=str(folder / name), tags=[name.partition("/")[0]]) for name in vectors]
    data.add_samples(samples)
    index = fiftyone.brain.compute_leaky_splits(
        data, splits=["train", "test"], embeddings=np.stack([*vectors.values()]), threshold=0.2
    )
    names = {sample.id: f"{sample.tags[0]}/{Path(sample.filepath).name}" for sample in data}
    found = index.neighbors_map if hasattr(index, "neighbors_map") else index._leak_ids
    return [
        (names[one], names[other[0] if isinstance(other, tuple) else other])
        for one, others in found.items()
        for other in others
    ]


def fastdup_run(folder: Path) -> Pairs:
    """Its defaults: pairs of a similarity above 0.9, by its own network."""
    import fastdup

    run = fastdup.create(input_dir=str(folder), work_dir=str(folder.parent / "fastdup"))
    run.run(overwrite=True, print_summary=False)
    table = run.similarity(data=True)
    columns = [name for name in table.columns if name.startswith("filename")]
    return [tuple("/".join(Path(path).parts[-2:]) for path in row) for row in table[columns].itertuples(index=False)]


PEERS: dict[str, Callable[[Path], Pairs]] = {
    "imagededup PHash": lambda folder: imagededup_hash(folder, "PHash"),
    "imagededup CNN": imagededup_cnn,
    "fiftyone leaky splits": fiftyone_leaky_splits,
    "fastdup": fastdup_run,
}


def main() -> None:
    peer, folder, result = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    try:
        between = {
            tuple(sorted(pair, reverse=True))
            for pair in PEERS[peer](folder)
            if {name.partition("/")[0] for name in pair} == {"train", "test"}
        }
        answer: object = sorted(between)
    except Exception as error:  # a peer may fail in any way, and the record says how
        answer = {"absent": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    result.write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
