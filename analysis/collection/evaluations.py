"""Put evaluations of trained weights into the tables, a few at a time, to bound the memory."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from analysis import stats
from analysis.collection import copies
from analysis.collection.copies import Copies, Place
from analysis.tables import parquet
from analysis.tables.parts import PartWriter
from analysis.tables.schemas import SCHEMAS
from tune_jobs.records.evaluation import Evaluation, IndexMaps
from tune_jobs.records.keys import evaluation_key, maps_key, point_id_of
from tune_jobs.records.schema import RecordError
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import require_own_key

FOLDERS = ("evaluations", "index_maps")
_TOGETHER = 48  # evaluations in a part: 55 million rows at most of the published grid
_AHEAD = 8  # read while others are written

Rows = Mapping[str, pa.Table]


def new_evaluations(
    storages: Sequence[Storage], results: Storage, strays: list[str]
) -> list[Copies]:
    """The objects that ``results`` does not have, with their copies in the order of storages.

    Files that are no objects of a storage are named in ``strays``.
    """
    known = set(parquet.read_if_any("evaluations", results)["key"].to_pylist())
    found: dict[str, list[Place]] = {}
    for storage in storages:
        for folder in FOLDERS:
            for _, key in copies.keys_in(storage, folder, strays):
                if key not in known:
                    found.setdefault(key, []).append((storage, key))
    return list(found.values())


def collect_evaluations(
    wanted: Sequence[Copies],
    results: Storage,
    pool: ThreadPoolExecutor,
    damaged: list[str],
    read: Callable[[int], None],
) -> int:
    """Put evaluations into the tables; how many could be used. ``read`` is called with counts read.

    A part is stored before ``evaluations`` names it: a collection that is cut off loses the part it
    was at, and doubles none.
    """
    done = 0
    for start in range(0, max(1, len(wanted)), _TOGETHER):
        batch = wanted[start : start + _TOGETHER]
        part = hashlib.sha256("\n".join(copies[0][1] for copies in batch).encode()).hexdigest()[:12]
        entries: list[dict[str, Any]] = []
        with PartWriter(part, results) as writer:
            for (_, key), (weights_key, rows) in copies.parsed(
                batch, _rows, pool, damaged, ahead=_AHEAD, read=read
            ):
                done += 1
                for name, table in rows.items():
                    entries.append(_entry(key, weights_key, name, table, part))
                    if table.num_rows:
                        writer.add(name, table)
        if entries or not results.exists(parquet.table_key("evaluations")):
            new = pa.Table.from_pylist(entries, SCHEMAS["evaluations"])
            parquet.extend("evaluations", new, new.select(["key"]), results)
    return done


def _rows(place: Place, content: bytes) -> tuple[str, Rows]:
    if place[1].startswith("evaluations/"):
        measured = Evaluation.from_npz(content)
        own, rows = evaluation_key(measured.point_id), rows_of_evaluation(measured)
    else:
        measured = IndexMaps.from_npz(content)
        own, rows = maps_key(measured.point_id, measured.object), rows_of_maps(measured)
    require_own_key(place[1], own)
    return measured.weights_key, rows


def _entry(key: str, weights_key: str, name: str, rows: pa.Table, part: str) -> dict[str, Any]:
    return {
        "key": key,
        "point_id": point_id_of(key),
        "measure": name,
        "part": part if rows.num_rows else None,
        "rows": rows.num_rows,
        "undefined": rows[rows.num_columns - 1].null_count,
        "weights_key": weights_key,
    }


def rows_of_evaluation(evaluation: Evaluation) -> Rows:
    """A row per stage, object and scale pair, and one per stage, channel, object and scale."""
    errors, pairs = evaluation.equivariance, evaluation.pairs
    stages, classes, instances, _ = errors.shape
    measured = _long(
        "equivariance",
        evaluation.point_id,
        errors,
        stage=(0, range(1, stages + 1)),
        class_index=(1, range(classes)),
        instance=(2, range(instances)),
        scale=(3, pairs[:, 0]),
        other_scale=(3, pairs[:, 1]),
    )
    sizes = [
        _long(
            "pool_scales",
            evaluation.point_id,
            means[None],
            stage=(0, [stage]),
            channel=(1, range(means.shape[0])),
            class_index=(2, range(means.shape[1])),
            instance=(3, range(means.shape[2])),
            scale=(4, evaluation.scales),
        )
        for stage, means in enumerate(evaluation.pool_scales, start=1)
    ]
    empty = SCHEMAS["pool_scales"].empty_table()
    return {
        "equivariance": measured,
        "pool_scales": pa.concat_tables([empty, *sizes]),
        "pool_correlations": _correlations(evaluation),
    }


def _correlations(evaluation: Evaluation) -> pa.Table:
    """A row per stage and channel: how its kernel size follows the object's, over all objects."""
    rows: list[dict[str, Any]] = []
    for stage, means in enumerate(evaluation.pool_scales, start=1):
        found = stats.correlations(means, evaluation.scales).reshape(len(means), -1)
        for channel, of_objects in enumerate(found):
            known = of_objects[~np.isnan(of_objects)]
            rows.append(
                {
                    "point_id": evaluation.point_id,
                    "stage": stage,
                    "channel": channel,
                    "objects": len(of_objects),
                    "constant": len(of_objects) - len(known),
                    "r": known.mean() if len(known) else None,
                }
            )
    return pa.Table.from_pylist(rows, SCHEMAS["pool_correlations"])


def rows_of_maps(maps: IndexMaps) -> Rows:
    """A row per stage, channel and scale of one object, with the kernel size at every pixel."""
    rows = [
        {
            "point_id": maps.point_id,
            "stage": stage,
            "channel": channel,
            **maps.object._asdict(),
            "scale": int(scale),
            "height": sizes.shape[2],
            "kernel_size": sizes[channel, row].ravel(),
        }
        for stage, sizes in enumerate(maps.maps, start=1)
        for channel in range(sizes.shape[0])
        for row, scale in enumerate(maps.scales)
    ]
    try:
        return {"index_maps": pa.Table.from_pylist(rows, SCHEMAS["index_maps"])}
    except (pa.ArrowInvalid, OverflowError) as error:
        raise _unfit(error) from None


def _long(name: str, point_id: str, values: NDArray, **columns: tuple[int, ArrayLike]) -> pa.Table:
    """A row per value of an array; each column names an axis and what stands along it."""
    if np.any(values < 0):
        raise RecordError(f"Every value of {name} must be at least 0; got {np.nanmin(values)}.")
    count = np.zeros(values.size, np.int32)
    arrays: list[pa.Array] = [pa.DictionaryArray.from_arrays(count, pa.array([point_id]))]
    try:
        for axis, along in columns.values():
            shape = [-1 if place == axis else 1 for place in range(values.ndim)]
            spread = np.broadcast_to(np.asarray(along, np.int64).reshape(shape), values.shape)
            field = SCHEMAS[name].field(len(arrays))
            arrays.append(pa.array(spread.ravel(), field.type))
        small = values.astype(np.float32).ravel()
        arrays.append(pa.array(small, mask=np.isnan(small)))
        return pa.Table.from_arrays(arrays, schema=SCHEMAS[name])
    except (pa.ArrowInvalid, ValueError) as error:
        raise _unfit(error) from None


def _unfit(error: Exception) -> RecordError:
    return RecordError(f"An evaluation's values must fit the tables; one does not: {error}.")
