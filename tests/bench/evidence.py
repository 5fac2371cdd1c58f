"""The tables of docs/evidence.md, from the finished runs of a study: any arms, and any seeds.

    miner run pipelines/studies/dose_response.yaml
    python tests/bench/evidence.py dose_response
    python tests/bench/evidence.py dose_response --set train.epochs=5 --as dose_response_short
    python tests/bench/evidence.py dose_response --add

The record holds the summary of `miner run` over the runs that are finished, and what each workspace says of its pairs. `--add`
keeps the runs of the record that are not here, such as those of another machine. `--page` puts the tables of all records into the
page, and draws its figure.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from record import RESULTS, publish

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine import read_json
from miner.options import read_yaml
from miner.recipe import RunOptions, read_recipe
from miner.study.definition import Study
from miner.study.plan import StudyPlan, plan_study
from miner.study.run import run_cell
from miner.study.summary import CONTROLS, FACTS, summarise_cells
from miner.study.table import about_power, about_work, study_markdown
from miner.tables import interval_record, interval_text, markdown_lines

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/evidence.md"
_BLOCK = re.compile(
    r"<!-- (table|pairs|classes|power|work|differences) of (\w+)(?:: ([^>]+))? -->\n.*?<!-- end -->", re.DOTALL
)
_TERM = re.compile(r"(?:^|([+-]) )([\w-]+)")
_FOLDER = re.compile(r"run:\S*/(?=\w+/runs/)")  # of the study
_SHARE = re.compile(r"(all|third)-(\d+)")


def finished_cells(plan: StudyPlan, scratch: Path) -> list[dict[str, Any]]:
    """The records of the runs that are trained and evaluated."""
    cells = []
    for run in plan.runs:
        folder = run.workspace / "runs" / run.name
        evaluated = ["knn", *(["linear"] if run.linear else [])]
        if all((folder / f"eval/{name}.json").exists() for name in evaluated):
            run_cell(run, None, False, scratch)
            cells.append(json.loads(scratch.read_text()))
    scratch.unlink(missing_ok=True)
    return cells


def recorded_cells(arms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of a record, as `finished_cells` has them. The accuracy of a class is the mean over the seeds of its arm."""
    return [
        {
            **{name: arm[name] for name in ("arm", "workspace", "pairs_arm", *FACTS)},
            "seed": seed,
            "knn": [
                {
                    "k": knn["k"],
                    "temperature": knn["temperature"],
                    "trained": knn["accuracy"]["by_seed"][number],
                    "random": knn["random_weights"],
                }
                for knn in arm["knn"]
            ],
            "linear": arm["linear"]["accuracy"]["by_seed"][number] if "linear" in arm else None,
            "per_class": arm["per_class"]["classes"] if "per_class" in arm else None,
        }
        for arm in arms
        for number, seed in enumerate(arm["seeds"])
    ]


def summarise_with(
    earlier: list[dict[str, Any]], cells: list[dict[str, Any]], order: list[str]
) -> list[dict[str, Any]]:
    """The summary of the arms of a record and of runs, in an order of arms. A run that both have is taken from `cells`."""
    here = {(cell["arm"], cell["seed"]) for cell in cells}
    kept = [cell for cell in recorded_cells(earlier) if (cell["arm"], cell["seed"]) not in here]
    found = sorted([*kept, *cells], key=lambda cell: (order.index(cell["arm"]), cell["seed"]))
    arms = summarise_cells(found)
    known = {
        (arm["arm"], seed): mean
        for arm in earlier
        if "per_class" in arm
        for seed, mean in zip(arm["seeds"], arm["per_class"]["mean"]["by_seed"], strict=True)
    }
    for arm in arms:
        if "per_class" in arm:
            means = zip(arm["seeds"], arm["per_class"]["mean"]["by_seed"], strict=True)
            by_seed = [mean if (arm["arm"], seed) in here else known[arm["arm"], seed] for seed, mean in means]
            arm["per_class"]["mean"] = {**interval_record(by_seed, 4), "by_seed": by_seed}
    return arms


def pairs_of(plan: StudyPlan) -> dict[str, dict[str, Any]]:
    """What the manifests say of the pairs, by workspace. Labels are counted, and choose nothing."""
    found = {}
    for name in plan.workspaces:
        made = PairsManifest.find(Workspace(plan.root / name))
        if made is not None and made.encoder and made.labels and made.composition:
            found[name] = {
                "rule": made.described,
                "labels_seen": _FOLDER.sub("run:", made.encoder.labels_seen),
                "pairs": made.pairs,
                "precision": round(made.labels.precision, 4),
                "coverage": round(made.image_coverage, 4),
                "effective": round(made.composition.effective_share, 4),
                "encoder_knn": _knn_of(made.encoder.name),
                "ends_per_image": _ends_by_class(Workspace(plan.root / name), made),
            }
    return found


def _ends_by_class(workspace: Workspace, made: PairsManifest) -> dict[str, float]:
    """Pair ends per image of each class."""
    parts, names = made.composition.classes, EmbeddingsManifest.read(workspace).source.classes
    ends = zip(parts.names, parts.ends, parts.images, strict=True)
    return {
        names[label] if names else str(label): round(pair_ends / images, 4)
        for label, pair_ends, images in ends
        if images
    }


def _knn_of(encoder: str) -> float | None:
    """The kNN accuracy (k = 200) of an encoder that the study has trained and evaluated."""
    found = read_json(Path(encoder.removeprefix("run:")) / "eval/knn.json") if encoder.startswith("run:") else None
    return None if found is None else float(found["results"][0]["trained"])


def arms_table(record: dict[str, Any], _: str) -> list[str]:
    return study_markdown("", record["arms"], []).splitlines()[2:]


def pairs_table(record: dict[str, Any], _: str) -> list[str]:
    heads = ["pairs of", "rule", "pairs", "label precision", "images in a pair", "effective number of images"]
    trained = any(one.get("encoder_knn") for one in record["pairs"].values())
    heads += ["kNN of the encoder, k = 200"] * trained
    rows = [
        [
            name,
            one["rule"],
            f"{one['pairs']:,}",
            *(f"{100 * one[key]:.1f} %" for key in ("precision", "coverage", "effective")),
            *([f"{one['encoder_knn']:.1f}" if one["encoder_knn"] else "-"] if trained else []),
        ]
        for name, one in record["pairs"].items()
    ]
    return markdown_lines([heads, ["---"] * len(heads), *rows])


def classes_table(record: dict[str, Any], _: str) -> list[str]:
    """kNN accuracy of each class (k = 200), and the mean over classes; below, how many pairs the images of a class have."""
    arms = [arm for arm in record["arms"] if "per_class" in arm]
    names = sorted(arms[0]["per_class"]["classes"], key=lambda name: (int(name) if name.isdigit() else 0, name))
    rows = [
        [
            arm["arm"],
            *(f"{arm['per_class']['classes'][name]:.1f}" for name in names),
            interval_text(arm["per_class"]["mean"], 1),
        ]
        for arm in arms
    ]
    rows += [
        [f"*pair ends per image, {workspace}*", *(f"{pairs['ends_per_image'][name]:.1f}" for name in names), ""]
        for workspace, pairs in record["pairs"].items()
    ]
    return markdown_lines([["arm", *names, "mean"], ["---"] * (len(names) + 2), *rows])


def power_lines(record: dict[str, Any], _: str) -> list[str]:
    return about_power(record["arms"]) or ["One seed: how much gains differ between seeds is not known yet."]


def work_lines(record: dict[str, Any], _: str) -> list[str]:
    """The work of the arms; one number if it is the same for all."""
    passes = next(arm["forward_passes"] for arm in record["arms"] if "knn" in arm)
    return about_work(record["arms"]) or [
        f"Every arm took {passes:,} forward passes of an image (a backward pass counts as two)."
    ]


def differences_table(record: dict[str, Any], wanted: str) -> list[str]:
    """Sums of arms such as `a - b` or `a - b - c + d`, with semicolons between them, paired by the seeds that all of them have.

    Sums with an arm that has not run are left out.
    """
    arms = {arm["arm"]: arm for arm in record["arms"]}
    protocols = [f"kNN, k = {knn['k']}" for knn in record["arms"][0]["knn"]]
    measures = [*protocols, *(["linear"] if "linear" in record["arms"][0] else [])]
    rows = []
    for sum_of_arms in wanted.split("; "):
        terms = [(-1 if sign == "-" else 1, name) for sign, name in _TERM.findall(sum_of_arms)]
        if all(name in arms for _, name in terms):
            found = [(factor, arms[name]) for factor, name in terms]
            seeds = sorted(set.intersection(*(set(arm["seeds"]) for _, arm in found)))
            cells = []
            for number in range(len(measures)):
                by_seed = [sum(factor * _accuracy(arm, number, seed) for factor, arm in found) for seed in seeds]
                cells.append(interval_text(interval_record(by_seed, 4), 1, "+"))
            rows.append([sum_of_arms, str(len(seeds)), *cells])
    heads = ["difference in points", "seeds", *measures]
    return markdown_lines([heads, ["---"] * len(heads), *rows])


def _accuracy(arm: dict[str, Any], number: int, seed: int) -> float:
    """Under protocol `number` of kNN; the number after the last is the linear classifier."""
    found = arm["knn"][number] if number < len(arm["knn"]) else arm["linear"]
    return float(found["accuracy"]["by_seed"][arm["seeds"].index(seed)])


PARTS = {
    "table": arms_table, "pairs": pairs_table, "classes": classes_table, "power": power_lines, "work": work_lines,
    "differences": differences_table,
}  # fmt: skip


def filled(page: str) -> str:
    """The page with the tables of the records in its blocks."""

    def block(found: re.Match[str]) -> str:
        part, name, asked = found.groups(default="")
        record = json.loads((RESULTS / f"evidence-{name}.json").read_text())
        head = found[0].partition("\n")[0]
        return "\n".join([head, "", *PARTS[part](record, asked), "", "<!-- end -->"])

    return _BLOCK.sub(block, page)


def plot(record: dict[str, Any], path: Path) -> None:
    """Accuracy against the share of right pairs, one line for each coverage; the controls are dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    known = {arm["arm"]: arm["knn"][0]["accuracy"] for arm in record["arms"]}
    for kind, colour in (("all", "#1f5f99"), ("third", "#c05a1c")):
        found = sorted((int(at[2]), known[name]) for name in known if (at := _SHARE.fullmatch(name)) and at[1] == kind)
        if found:
            axes.errorbar(
                [share for share, _ in found],
                [accuracy["mean"] for _, accuracy in found],
                [accuracy["half_width"] or 0 for _, accuracy in found],
                marker="o", capsize=4, color=colour, label=f"pairs of {kind if kind == 'all' else 'a third of the'} images",
            )  # fmt: skip
    styles = iter(("--", ":", "-."))
    for arm in record["arms"]:
        if arm["pairs_arm"] in CONTROLS:
            level = arm["knn"][0]["accuracy"]["mean"]
            axes.axhline(level, color="#8a8a8a", linestyle=next(styles), linewidth=1, label=f"control: {arm['arm']}")
    axes.set(xlabel="share of right pairs in percent", ylabel="kNN accuracy in percent (k = 200)")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", help="the name of a file of pipelines/studies")
    parser.add_argument("--set", action="append", default=[], help="what `miner run` was told to change")
    parser.add_argument(
        "--as", dest="name", help="the name of the record; the study has run in datasets_out/studies/NAME"
    )
    parser.add_argument("--add", action="store_true", help="keep the runs of the record that are not here")
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    if arguments.study:
        path = ROOT / f"pipelines/studies/{arguments.study}.yaml"
        study = read_recipe(Study, read_yaml(path), path)
        name = arguments.name or arguments.study
        folder = study.folder.with_name(name)
        plan = plan_study(
            study, RunOptions(recipe=path, workspace=folder, arms=",".join(study.arms), set=arguments.set)
        )
        asked = f"miner run {path.relative_to(ROOT)}" + "".join(f" --set {one}" for one in arguments.set)
        earlier = read_json(RESULTS / f"evidence-{name}.json") if arguments.add else None
        if earlier and earlier["study"] != asked:
            parser.error(f"the record is of {earlier['study']}, and the runs here are of {asked}")
        if not (cells := finished_cells(plan, plan.root / "cell.json")):
            parser.error(f"{plan.root} has no finished run; begin with: {asked}")
        logs = (read_json(plan.root / workspace / "run.json") or {"stages": {}} for workspace in plan.workspaces)
        machine = next(log["stages"]["train"]["environment"] for log in logs if "train" in log["stages"])
        machines = earlier["trained_by"] if earlier else []
        pairs = {**pairs_of(plan), **(earlier["pairs"] if earlier else {})}
        publish(
            f"evidence-{name}",
            {
                "study": asked,
                "trained_by": [*(one for one in machines if one != machine), machine],
                "pairs": {workspace: pairs[workspace] for workspace in study.workspaces if workspace in pairs},
                "arms": summarise_with(earlier["arms"] if earlier else [], cells, list(study.arms)),
            },
        )
    if arguments.page:
        PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
        plot(
            json.loads((RESULTS / "evidence-dose_response.json").read_text()), ROOT / "docs/evidence-dose-response.png"
        )


if __name__ == "__main__":
    main()
