"""How long the analysis takes on the published grid: 5,500 records of 50 epochs each.

    python -m benchmarks.results [--records 5500] [--evaluations 96]
                                 [--export mlflow_export.csv.gz --by-scale scale_accuracy.csv.gz]

Records are drawn from a seeded generator around the published means; evaluations are those of
pixel_pool on mnist, the largest there are (1.2 million rows each). Times are wall times of one run
each; peak memory is that of this process. Without the published export the figures and the report
are drawn from these records, else from the export. On a busy machine the times of processors, all
threads together, say more.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.collection.collect import collect
from analysis.collection.mlflow import import_mlflow
from analysis.figures import canvas
from analysis.figures.gallery import draw_figures
from analysis.report.report import report
from analysis.results.folder import ResultsFolder
from analysis.results.published import published_summary
from analysis.results.query import query
from analysis.tables.schemas import PARTED
from stir.scenarios import SCALES
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.evaluation import Evaluation
from tune_jobs.records.keys import evaluation_key, record_key
from tune_jobs.records.trial import EpochRecord, Provenance, ScaleRecord, TrialRecord
from tune_jobs.storage import Storage

CLASSES = {"emoji": 36, "mnist": 10, "trafficsign": 16, "aerial": 9}
IMAGES = {"emoji": 36, "mnist": 500, "trafficsign": 400, "aerial": 225}  # at one scale
MACHINE = Provenance(
    code_version="0.1.0",
    git_sha=None,
    git_dirty=None,
    python_version="3.11",
    torch_version="2.13.0",
    numpy_version="2.4.6",
    ray_version="2.60.0",
    device="cpu",
    threads=1,
    host="benchmark",
)
NOW = "2026-11-22T12:00:00.000+00:00"


def records(epochs: int = 50) -> Iterator[TrialRecord]:
    """The published grid, every seed of its 176 cells, with made-up numbers near its means."""
    rng = np.random.default_rng(1)
    for cell in published_summary().to_dict("records"):
        for seed in range(1, cell["seeds"] + 1):
            yield record(cell, seed, float(rng.normal(cell["mean"], cell["spread"])), epochs)


def record(cell: dict, seed: int, accuracy: float, epochs: int) -> TrialRecord:
    point = GridPoint(
        model=cell["model"],
        dataset=cell["dataset"],
        scenario=cell["scenario"],
        kernel_size=7,
        interpolation=None,
        lr=cell["lr"],
        seed=seed,
    )
    spec = TrialSpec(point=point, recipe=Recipe(), model_version=1, dataset_fingerprint="0" * 16)
    total = IMAGES[point.dataset]
    correct = round(total * min(1.0, max(0.0, accuracy)))
    return TrialRecord(
        point_id=spec.point_id,
        point=point,
        recipe=spec.recipe,
        model_version=1,
        protocol_version=spec.protocol_version,
        dataset_fingerprint=spec.dataset_fingerprint,
        num_classes=CLASSES[point.dataset],
        num_parameters=30_000,
        epochs=tuple(
            EpochRecord(
                epoch=number,
                train_loss=3 / number,
                train_accuracy=1 - 1 / (number + 1),
                valid_loss=4 / number,
                valid_accuracy=0.95 - 0.9 / (number + 1),
                seconds=1.234567,
                finished_at=NOW,
            )
            for number in range(1, epochs + 1)
        ),
        best_epoch=epochs,
        best_valid_accuracy=0.95 - 0.9 / (epochs + 1),
        scales=tuple(
            ScaleRecord(scale=scale, total=total, correct=correct, loss_sum=1.5 * total)
            for scale in SCALES
        ),
        test_accuracy=correct / total,
        test_loss=1.5,
        wall_seconds=60.0,
        started_at=NOW,
        finished_at=NOW,
        resumptions=(),
        weights_key=f"weights/{spec.point_id}-000000000000.pt",
        provenance=MACHINE,
    )


def evaluation(point_id: str) -> tuple[str, bytes]:
    """Key and contents of an evaluation of a pooling model on 10 classes of 50 objects."""
    rng = np.random.default_rng(int(point_id, 16))
    means = rng.uniform(7, 63, (48, 10, 50, 48)).astype(np.float32)
    found = Evaluation(
        point_id=point_id,
        weights_key=f"weights/{point_id}-000000000000.pt",
        equivariance=rng.random((2, 10, 50, 6)),
        pairs=np.array([(64, 49), (49, 64), (48, 33), (33, 48), (32, 17), (17, 32)]),
        pool_scales=(means[:16], means[16:]),
        scales=np.array(SCALES),
    )
    return evaluation_key(point_id), found.to_npz()


@contextmanager
def timed(what: str, limit_seconds: float) -> Iterator[None]:
    start, processor = time.perf_counter(), time.process_time()
    yield
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(
        f"{what:<58} {seconds:7.2f} s, {processor:.2f} s of processors  "
        f"(limit {limit_seconds:g} s, peak {memory:.2f} GB)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the analysis on the published grid.")
    parser.add_argument("--records", type=int, default=5500)
    parser.add_argument("--evaluations", type=int, default=96)
    parser.add_argument("--export", help="the published MLflow export")
    parser.add_argument("--by-scale", help="the published accuracies by scale")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), args)


def run(folder: Path, args: argparse.Namespace) -> None:
    storage, results = Storage(folder / "runs"), str(folder / "results")
    made = [(record_key(r.point_id), r.to_json()) for r in records()][: args.records]
    late, early = made[:10], made[10:]
    put(storage, early)
    with timed(f"collect {len(early)} records", 30):
        collect([storage.uri], results)
    put(storage, late)
    with timed("collect 10 new ones", 5):
        collect([storage.uri], results)
    put(storage, (evaluation(f"{number:012x}") for number in range(args.evaluations)))
    with timed(f"collect {args.evaluations} evaluations of pixel_pool on mnist", 60):
        collect([storage.uri], results)
    size = sum(item.size for name in PARTED for item in Storage(results).list(name)) / 1e6
    rows = query("select count(*) as n from pool_scales", results).to_pylist()[0]["n"]
    print(f"{rows:,} rows of chosen kernel sizes, all measures {size:.0f} MB")
    sql = "select stage, channel, avg(mean_kernel_size) from pool_scales where point_id = '{}'"
    with timed("query: one trial's chosen kernel sizes", 1):
        query(f"{sql.format('0' * 12)} group by all", results)
    if args.export:
        results = str(folder / "published")
        with timed("import the published export", 5):
            import_mlflow(args.export, results, by_scale=args.by_scale)
    sql = "select model, avg(accuracy) from trials join scale_accuracy using (point_id) group by 1"
    with timed("query: join of trials and scales", 0.3):
        query(sql, results)
    with timed("all figures, as SVG, PDF and PNG", 60):
        for name, figure in draw_figures(ResultsFolder(results)):
            if isinstance(figure, Figure):
                canvas.save(figure, Storage(folder / "out"), name)
    with timed("report", 60):
        report(results, str(folder / "out"))
    print(f"report.html: {(folder / 'out' / 'report.html').stat().st_size / 1e6:.1f} MB (limit 5)")


def put(storage: Storage, objects: Iterable[tuple[str, bytes]]) -> None:
    for key, data in objects:
        storage.write(key, data)


if __name__ == "__main__":
    main()
