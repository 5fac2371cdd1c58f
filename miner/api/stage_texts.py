"""What each stage leaves in the workspace, and an example: the end of its docstring."""

RETURNS = {
    "embed": "`.embeddings` holds `.vectors`, unit rows (n, d), float16 or float32; `.keys`; `.labels`, int64 (n,) or None.",
    "calibrate": "`calibration.json`, and its pictures.",
    "pairs": "`.pairs` is a `PairTable`: rows a and b int64, similarity float32, and the evidence of the rule.",
    "export": "`shards/`, which `PairShards` reads: pairs-*.tar, images-*.tar, the table of the pairs, and manifest.json.",
    "publish": "The repository lies in `to`, or in `publish/`.",
    "train": "`runs/NAME/` holds backbone.safetensors, the metrics of each step and checkpoints; `.runs` lists the names.",
    "refine": "`refined/` is a workspace, with vectors (n, dim).",
    "eval_knn": "`runs/NAME/eval/knn.json`: accuracies in percent, for k = 200 and k = 20, trained and random.",
    "eval_linear": "`runs/NAME/eval/linear.json`: accuracies in percent, trained and random.",
    "eval_graph": "`graph/table.json`: mean and 95 % interval of each arm.",
    "eval_finetune": "`runs/NAME/eval/finetune-SHARE.json`: accuracies in percent, trained and random.",
    "eval_transfer": "`runs/NAME/eval/transfer-SET.json` for each set: accuracies in percent, trained and random.",
    "eval_detect": "`runs/NAME/eval/detect.json`: average precisions in percent.",
    "review": "`review/review.json`: the precision with its interval, once somebody has judged pairs.",
    "report": "`report/index.html`.",
}

EXAMPLES = {
    "embed": """
        >>> workspace = miner.embed("photos", workspace="datasets_out/few", limit=16, device="cpu", quiet=True)
        >>> workspace.embeddings.vectors.shape, str(workspace.embeddings.vectors.dtype)
        ((16, 1280), 'float16')
    """,
    "calibrate": """
        >>> workspace = miner.calibrate("datasets_out/default", quiet=True)
        >>> (workspace.path / "calibration.json").is_file()
        True
    """,
    "pairs": """
        >>> workspace = miner.pairs("datasets_out/default", rule="mutual", neighbors=5, force=True, quiet=True)
        >>> table = workspace.pairs.to_arrow()
        >>> table.column_names[:4], str(table["similarity"].type)
        (['path_a', 'path_b', 'a', 'b'], 'float')
    """,
    "export": """
        >>> workspace = miner.export("datasets_out/default", quiet=True)
        >>> len(miner.PairShards(workspace.path / "shards")) == len(workspace.pairs)
        True
    """,
    "publish": """
        >>> licences = {"license": "cc-by-4.0", "image_license": "mit"}
        >>> workspace = miner.publish("datasets_out/default", to="photo-pairs", **licences, quiet=True)
        >>> len(miner.PairShards("photo-pairs")) == len(workspace.pairs)
        True
    """,
    "train": """
        >>> small = {"epochs": 1, "batch_size": 8, "image_size": 32, "stem": "imagenet", "dim": 8, "device": "cpu"}
        >>> workspace = miner.train("datasets_out/default", method="simclr", name="first", **small, quiet=True)
        >>> "first" in workspace.runs
        True
    """,
    "refine": """
        >>> workspace = miner.refine("datasets_out/default", dim=8, epochs=2, device="cpu", quiet=True)
        >>> miner.open(workspace.path / "refined").embeddings.vectors.shape
        (40, 8)
    """,
    "eval_knn": """
        >>> workspace = miner.eval_knn("datasets_out/default", device="cpu", quiet=True)
        >>> (workspace.path / "runs" / workspace.runs[0] / "eval/knn.json").is_file()
        True
    """,
    "eval_linear": """
        >>> workspace = miner.eval_linear("datasets_out/default", device="cpu", quiet=True)
        >>> (workspace.path / "runs" / workspace.runs[0] / "eval/linear.json").is_file()
        True
    """,
    "eval_graph": """
        >>> # Here the test images are those of the workspace, for an example alone.
        >>> small = {"seeds": 1, "epochs": 1, "dim": 8, "device": "cpu"}
        >>> workspace = miner.eval_graph("datasets_out/default", test="photos", **small, quiet=True)
        >>> (workspace.path / "graph/table.json").is_file()
        True
    """,
    "eval_finetune": """
        >>> rates = {"epochs": 1, "lr": 0.1, "head_lr": 1.0, "device": "cpu"}
        >>> workspace = miner.eval_finetune("datasets_out/default", share=0.5, **rates, quiet=True)
        >>> (workspace.path / "runs" / workspace.runs[0] / "eval/finetune-0.5.json").is_file()
        True
    """,
    "eval_transfer": """
        >>> # Here the other set is that of the workspace, for an example alone.
        >>> workspace = miner.eval_transfer("datasets_out/default", sets=["photos"], device="cpu", quiet=True)
        >>> (workspace.path / "runs" / workspace.runs[0] / "eval/transfer-photos.json").is_file()
        True
    """,
    "eval_detect": """
        >>> voc = {"train": ["VOC2007:trainval"], "test": ["VOC2007:test"]}
        >>> workspace = miner.eval_detect("datasets_out/default", **voc)  # doctest: +SKIP
    """,
    "review": """
        >>> workspace = miner.review("datasets_out/default", summary=True, quiet=True)
        >>> (workspace.path / "review/review.json").is_file()
        True
    """,
    "report": """
        >>> workspace = miner.report("datasets_out/default", quiet=True)
        >>> (workspace.path / "report/index.html").is_file()
        True
    """,
}
