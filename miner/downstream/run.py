"""`miner eval`: a network on frozen features, with few labels and on other data sets, beside random weights and the encoder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.labelled import source_identity
from miner.artifacts.stage_folder import Stage, finished_file
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, file_record, write_signed
from miner.evaluate.network_options import FinetuneOptions, TransferOptions
from miner.evaluate.options import EvaluateOptions, KnnOptions, LinearOptions
from miner.evaluate.run import knn, linear
from miner.evaluate.verdict import verdict_lines
from miner.text import counted

if TYPE_CHECKING:
    from torch import Tensor

    from miner.evaluate.embedded import EncodeImages


def knn_beside_encoder(options: KnnOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """`knn`, where images without a vector are encoded as those of the workspace.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """
    return knn(options, workspace, force=force, encode=_encode_alike(options, workspace))


def linear_beside_encoder(options: LinearOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """`linear`, where images without a vector are encoded as those of the workspace.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """
    return linear(options, workspace, force=force, encode=_encode_alike(options, workspace))


def _encode_alike(options: EvaluateOptions, workspace: Workspace) -> "EncodeImages":
    def encode(*asked: Any) -> "Tensor":
        from miner.downstream.alike import encoded_alike

        return encoded_alike(options, workspace, *asked)

    return encode


def finetune(options: FinetuneOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Train a network further on few labels, and classify test images -> eval/finetune-SHARE.json, of a run in its folder.

    Raises:
        MinerError: there is no finished run, no labels, or the result of another request is in the way.
    """
    from miner.downstream.finetune import FineTuning, find_few_labels
    from miner.downstream.network import find_network

    network = find_network(options, workspace)
    inputs = None if options.gallery else find_inputs(workspace, with_pairs=False)
    embeddings = EmbeddingsManifest.find(workspace)
    like = embeddings.source if embeddings is not None else None
    asked = options.request()
    sides = {side: asked[side] for side in ("gallery", "test") if asked[side] is not None}
    request = {
        **asked,
        "labels": file_record(options.labels)["sha256"] if options.labels else None,
        "epochs": options.passes,
        "network": network.identity(),
        "sources": {side: source_identity(spec, like) for side, spec in sides.items()},
        "workspace_images": inputs.fingerprint if inputs is not None else None,
    }
    which = f"list-{options.labels.stem}" if options.labels else f"{options.share:g}"
    layer = "-projector1" if options.layer == "projector1" else ""
    name = f"finetune-{which}{f'-seed{options.seed}' if options.seed else ''}{layer}{network.ending}"
    path = network.folder / f"{name}.json"
    if (record := finished_file(path, request, force)) is not None:
        return _finetuned(record, False, path)
    parts = Stage(network.folder / f"{name}.parts", request, ("*.json",), ("*.pt",))
    data = find_few_labels(options, network, inputs, like)
    parts.begin(force)
    record = write_signed(path, {"request": request, **FineTuning(options, network, data, parts.folder).record()})
    parts.discard()
    return _finetuned(record, True, path)


def _finetuned(record: Record, fresh: bool, path: Path) -> Result:
    accuracies = _accuracies(record)
    sizes = f"({record['n_labelled']:,} labels of {record['n_gallery']:,} images, test {record['n_test']:,})"
    rates = "; ".join(
        f"{arm} {result['chosen']['lr']:g} and {result['chosen']['head_lr']:g}"
        for arm, result in record["results"].items()
    )
    lines = [
        f"eval finetune: {record['network']}: {accuracies} {sizes}",
        *verdict_lines("eval finetune", record),
        f"eval finetune: learning rates of backbone and classifier, {record['chosen_by']}: {rates}",
        f"eval finetune: majority class {record['majority']:.1f} %; {record['classes']} classes, "
        f"{counted(record['epochs'], 'epoch')}",
    ]
    return Result("eval finetune", record, lines, fresh, [("fine-tuning accuracy", accuracies)], path=path)


def transfer(options: TransferOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify other data sets on frozen features -> eval/transfer-SET.json for each set, of a run in its folder.

    Raises:
        MinerError: there is no finished run, a set cannot be used, or the result of another request is in the way.
    """
    from miner.downstream.network import file_label, find_network
    from miner.downstream.overlap import images_of_pretraining, measure_overlap
    from miner.downstream.ranks import rank_lines, ranked_networks
    from miner.downstream.transfer import measure_transfer, open_set

    network = find_network(options, workspace)
    pretraining = images_of_pretraining(options, network, workspace)
    records, fresh, path = [], False, network.folder
    for spec in options.sets:
        data = open_set(spec, options, network)
        sources = {name: source_identity(name, None) for name in spec.split(",")}
        request = {**options.request(), "set": spec, "network": network.identity(), "sources": sources}
        path = network.folder / f"transfer-{file_label(spec)}{network.ending}.json"
        if (record := finished_file(path, request, force)) is None:
            overlap = (
                measure_overlap(data.split.test, pretraining, workspace, options.device) if options.overlap else None
            )
            measured = measure_transfer(options, network, data)
            record, fresh = write_signed(path, {"request": request, "overlap": overlap, **measured}), True
        records.append(record)
    ranked = ranked_networks(records, workspace) if len(records) > 1 else []
    lines = [line for record in records for line in _transferred(record)]
    headline = [(f"transfer to {record['request']['set']}", _accuracies(record)) for record in records]
    found = {"sets": records, **({"ranks": ranked} if ranked else {})}
    return Result("eval transfer", found, [*lines, *rank_lines(records, ranked)], fresh, headline, path=path)


def _transferred(record: Record) -> list[str]:
    unit = record["unit"].partition(" accuracy")[0]
    sizes = f"(train {record['n_gallery']:,}, test {record['n_test']:,})"
    overlap = [f"eval transfer: {record['overlap']['sentence']}"] if record["overlap"] else []
    return [
        f"eval transfer: {record['network']} on {record['request']['set']}: {unit} {_accuracies(record)} {sizes}",
        *verdict_lines("eval transfer", record),
        f"eval transfer: C {record['results']['trained']['chosen']:.3g} of 45, by {record['validation']}; majority class "
        f"{record['majority']:.1f} %",
        *overlap,
    ]


def _accuracies(record: Record) -> str:
    return ", ".join(f"{name} {result['test']:.1f} %" for name, result in record["results"].items())
