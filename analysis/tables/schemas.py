"""The columns of each results table, and its key: the columns that no two rows share."""

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa

# 2: study_points has the points, and says like cells where they were read.
# 3: seconds of training, of validation and of whole epochs are columns of their own; backend;
#    on_divergence.
SCHEMA_VERSION = 3
SEARCH_PHASE = "search"  # what study_points calls the points of a search

_TIME = pa.timestamp("us", tz="UTC")
_TRIALS = {
    "point_id": pa.string(),  # "mlflow-" + run_id for published runs
    "source": pa.string(),  # ours, published
    "model": pa.string(),
    "dataset": pa.string(),
    "scenario": pa.int64(),
    "kernel_size": pa.int64(),  # pixels
    "interpolation": pa.string(),  # null for models that do not use it
    "lr": pa.float64(),
    "seed": pa.int64(),
    "max_epochs": pa.int64(),
    "patience": pa.int64(),  # epochs
    "batch_size": pa.int64(),
    "on_divergence": pa.string(),  # stop; null: the trial fails, or is a published one
    "status": pa.string(),  # finished, failed
    "error": pa.string(),
    "num_classes": pa.int64(),
    "num_parameters": pa.int64(),
    "epochs": pa.int64(),
    "best_epoch": pa.int64(),
    "best_valid_accuracy": pa.float64(),
    "collapsed": pa.bool_(),  # best validation accuracy below twice chance
    "test_accuracy": pa.float64(),
    "test_loss": pa.float64(),
    "last_train_loss": pa.float64(),
    "last_train_accuracy": pa.float64(),
    "last_valid_loss": pa.float64(),
    "last_valid_accuracy": pa.float64(),
    # Means over the epochs; null where a record or an export does not say.
    "train_seconds": pa.float64(),  # training batches alone, which is what the paper measured
    "last_train_seconds": pa.float64(),  # of the last epoch
    "valid_seconds": pa.float64(),  # validation batches alone
    "epoch_seconds": pa.float64(),  # all of an epoch: validation, checkpoints, set-up
    "wall_seconds": pa.float64(),
    "started_at": _TIME,
    "finished_at": _TIME,
    "resumed": pa.int64(),  # how often the trial went on from a checkpoint
    "device": pa.string(),
    "threads": pa.int64(),
    "backend": pa.string(),  # what computed the layers; null in records that do not say
    "host": pa.string(),
    "code_version": pa.string(),
    "git_sha": pa.string(),
    "git_dirty": pa.bool_(),
    "torch_version": pa.string(),
    "ray_version": pa.string(),
    "dataset_fingerprint": pa.string(),
    "model_version": pa.string(),
    "protocol_version": pa.int64(),
}
_EPOCHS = {
    "point_id": pa.string(),
    "epoch": pa.int64(),
    "train_loss": pa.float64(),
    "train_accuracy": pa.float64(),
    "valid_loss": pa.float64(),
    "valid_accuracy": pa.float64(),
    "seconds": pa.float64(),  # all of the epoch
    "train_seconds": pa.float64(),  # null in records that did not time it
    "valid_seconds": pa.float64(),
}
_SCALE_ACCURACY = {
    "point_id": pa.string(),
    "scale": pa.int64(),  # object side in pixels
    "correct": pa.int64(),
    "total": pa.int64(),
    "accuracy": pa.float64(),
    "loss_sum": pa.float64(),
}
_STUDY_POINTS = {
    "storage": pa.string(),  # where this was read; a study may lie in several storages
    "study": pa.string(),
    "phase": pa.string(),
    "point_id": pa.string(),
    "model": pa.string(),
    "dataset": pa.string(),
    "scenario": pa.int64(),
    "kernel_size": pa.int64(),  # pixels
    "interpolation": pa.string(),
    "lr": pa.float64(),
    "seed": pa.int64(),
    "reported": pa.bool_(),  # false for a learning rate that was not chosen
}
_SEARCHES = {
    "study": pa.string(),
    "sample": pa.int64(),  # counted from 1
    "point_id": pa.string(),  # samples with equal points share one
    "model": pa.string(),
    "dataset": pa.string(),
    "scenario": pa.int64(),
    "kernel_size": pa.int64(),  # pixels
    "interpolation": pa.string(),
    "lr": pa.float64(),
    "seed": pa.int64(),
    "max_epochs": pa.int64(),
    "patience": pa.int64(),  # epochs
    "batch_size": pa.int64(),
    "status": pa.string(),  # finished, stopped (early), diverged, failed, to do
    "reason": pa.string(),  # why it was stopped, diverged or failed
    "epochs": pa.int64(),  # trained, also of a trial that was stopped
    "best_epoch": pa.int64(),
    "best_valid_accuracy": pa.float64(),
    "test_accuracy": pa.float64(),  # of finished trials
    "ended_at": _TIME,
}
_CELLS = {
    "storage": pa.string(),
    "study": pa.string(),
    "phase": pa.string(),
    "model": pa.string(),
    "dataset": pa.string(),
    "scenario": pa.int64(),
    "kernel_size": pa.int64(),  # pixels
    "interpolation": pa.string(),
    "rule": pa.string(),
    "lr": pa.float64(),  # null where the rule could not decide
    "undecided": pa.string(),  # why not, else empty
    "evidence": pa.string(),  # JSON: each learning rate's runs and their median
    "written_at": _TIME,
}
_POINT_ID = pa.dictionary(pa.int32(), pa.string())  # many rows each
_EVALUATIONS = {
    "key": pa.string(),  # of the object in its storage
    "point_id": pa.string(),
    "measure": pa.string(),  # the table that holds the rows: one of ``PARTED``
    "part": pa.string(),  # the file of it; null where the measure does not apply to the model
    "rows": pa.int64(),
    "undefined": pa.int64(),  # rows without a value
    "weights_key": pa.string(),
}
_EQUIVARIANCE = {
    "point_id": _POINT_ID,
    "stage": pa.int8(),  # from 1
    "class_index": pa.int16(),  # class and instance count from 0
    "instance": pa.int16(),
    "scale": pa.int16(),  # object side in pixels
    "other_scale": pa.int16(),  # pixels; its map is resized to the other's
    "error": pa.float32(),  # ||a - b||^2 / ||a||^2; null where it is not defined
}
_POOL_SCALES = {
    "point_id": _POINT_ID,
    "stage": pa.int8(),
    "channel": pa.int16(),  # from 0
    "class_index": pa.int16(),
    "instance": pa.int16(),
    "scale": pa.int16(),
    "mean_kernel_size": pa.float32(),  # pixels, over the object's box; null where that is empty
}
_POOL_CORRELATIONS = {
    "point_id": _POINT_ID,
    "stage": pa.int8(),
    "channel": pa.int16(),
    "objects": pa.int32(),
    "constant": pa.int32(),  # objects for which the kernel size never changes: they have no r
    "r": pa.float32(),  # Pearson's, of kernel size and object scale: the mean over the others
}
_INDEX_MAPS = {
    "point_id": _POINT_ID,
    "stage": pa.int8(),
    "channel": pa.int16(),
    "class_index": pa.int16(),
    "instance": pa.int16(),
    "scale": pa.int16(),
    "height": pa.int16(),
    "kernel_size": pa.list_(pa.uint8()),  # pixels, at each pixel of the map, row by row
}

SCHEMAS: Mapping[str, pa.Schema] = MappingProxyType(
    {
        "trials": pa.schema(_TRIALS),
        "epochs": pa.schema(_EPOCHS),
        "scale_accuracy": pa.schema(_SCALE_ACCURACY),
        "study_points": pa.schema(_STUDY_POINTS),
        "cells": pa.schema(_CELLS),
        "searches": pa.schema(_SEARCHES),
        "evaluations": pa.schema(_EVALUATIONS),
        "equivariance": pa.schema(_EQUIVARIANCE),
        "pool_scales": pa.schema(_POOL_SCALES),
        "pool_correlations": pa.schema(_POOL_CORRELATIONS),
        "index_maps": pa.schema(_INDEX_MAPS),
    }
)
OF_TRIALS = ("epochs", "scale_accuracy", "trials")  # trials last: they say what has been collected
OF_STUDIES = ("study_points", "cells", "searches")
# Many files each: see ``parts``. In each the value stands last, null where it is not defined.
PARTED = ("equivariance", "pool_scales", "pool_correlations", "index_maps")
KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "trials": ("point_id",),
        "epochs": ("point_id", "epoch"),
        "scale_accuracy": ("point_id", "scale"),
        "study_points": ("storage", "study", "phase", "point_id"),
        "cells": (
            *("storage", "study", "phase"),
            *("model", "dataset", "scenario", "kernel_size", "interpolation"),
        ),
        "searches": ("study", "sample"),
        "evaluations": ("key", "measure"),
    }
)
