"""What an evaluation of finished weights leaves behind: one ``.npz`` object. No torch, no Ray."""

import io
import zipfile
import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tune_jobs.schema import RecordError

EVALUATION_SCHEMA = "stir-evaluation/1"
PREDICTIONS_SCHEMA = "stir-predictions/1"
UNREADABLE = (ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Equivariance errors and chosen kernel sizes of one point's weights on its test objects.

    ``equivariance`` (stages, classes, instances, pairs): the error between an object's maps at the
    two scales of a pair, NaN where it is not defined; ``pairs`` (pairs, 2) in pixels. Without
    stages for a model that has no stage maps.
    ``pool_scales``: for each stage (channels, classes, instances, scales) the mean chosen kernel
    size in pixels; ``scales`` (scales,) in pixels. Empty for a model that does not pool scales.
    """

    point_id: str
    weights_key: str
    equivariance: NDArray[np.float64]
    pairs: NDArray[np.int64]
    pool_scales: tuple[NDArray[np.float32], ...]
    scales: NDArray[np.int64]

    def to_npz(self) -> bytes:
        return _to_npz(
            EVALUATION_SCHEMA,
            {
                "point_id": np.array(self.point_id),
                "weights_key": np.array(self.weights_key),
                "equivariance": self.equivariance,
                "pairs": self.pairs,
                "scales": self.scales,
            }
            | {f"pool_scales_{n}": sizes for n, sizes in enumerate(self.pool_scales, start=1)},
        )

    @classmethod
    def from_npz(cls, data: bytes) -> Self:
        """Read what ``to_npz`` wrote; raises RecordError if anything is amiss."""
        arrays = _from_npz(data, EVALUATION_SCHEMA)
        stages = sorted(name for name in arrays if name.startswith("pool_scales_"))
        evaluation = cls(
            point_id=_text(arrays, "point_id"),
            weights_key=_text(arrays, "weights_key"),
            equivariance=_array(arrays, "equivariance", np.float64, 4),
            pairs=_array(arrays, "pairs", np.int64, 2),
            pool_scales=tuple(_array(arrays, name, np.float32, 4) for name in stages),
            scales=_array(arrays, "scales", np.int64, 1),
        )
        ends = [sizes.shape[-1] for sizes in evaluation.pool_scales]
        if evaluation.equivariance.shape[-1] != len(evaluation.pairs) or any(
            end != len(evaluation.scales) for end in ends
        ):
            raise RecordError(
                "An evaluation must have a column for each scale pair and each scale; got "
                f"{evaluation.equivariance.shape[-1]} for {len(evaluation.pairs)} pairs and {ends} "
                f"for {len(evaluation.scales)} scales."
            )
        return evaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """The class that one point's weights answer for each test image.

    ``predicted`` and ``labels`` (scales, classes, instances); ``scales`` (scales,) in pixels.
    """

    point_id: str
    weights_key: str
    predicted: NDArray[np.int64]
    labels: NDArray[np.int64]
    scales: NDArray[np.int64]

    def to_npz(self) -> bytes:
        return _to_npz(
            PREDICTIONS_SCHEMA,
            {
                "point_id": np.array(self.point_id),
                "weights_key": np.array(self.weights_key),
                "predicted": self.predicted,
                "labels": self.labels,
                "scales": self.scales,
            },
        )

    @classmethod
    def from_npz(cls, data: bytes) -> Self:
        """Read what ``to_npz`` wrote; raises RecordError if anything is amiss."""
        arrays = _from_npz(data, PREDICTIONS_SCHEMA)
        predictions = cls(
            point_id=_text(arrays, "point_id"),
            weights_key=_text(arrays, "weights_key"),
            predicted=_array(arrays, "predicted", np.int64, 3),
            labels=_array(arrays, "labels", np.int64, 3),
            scales=_array(arrays, "scales", np.int64, 1),
        )
        shapes = predictions.predicted.shape, predictions.labels.shape
        if shapes[0] != shapes[1] or shapes[0][0] != len(predictions.scales):
            raise RecordError(
                "Predictions must have a row for each scale and a label for each answer; got "
                f"{shapes[0]} answers, {shapes[1]} labels, {len(predictions.scales)} scales."
            )
        return predictions


def evaluation_key(point_id: str) -> str:
    return f"evaluations/{point_id}.npz"


def predictions_key(point_id: str) -> str:
    return f"predictions/{point_id}.npz"


def _to_npz(schema: str, arrays: dict[str, NDArray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, schema=np.array(schema), **arrays)
    return buffer.getvalue()


def _from_npz(data: bytes, schema: str) -> dict[str, NDArray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as bundle:
            arrays = {name: bundle[name] for name in bundle.files}
    except UNREADABLE as error:
        raise RecordError(
            f"An evaluation must be a whole .npz of plain arrays; reading it failed: {error}."
        ) from None
    found = str(arrays.pop("schema", "none"))
    if found != schema:
        raise RecordError(f"An evaluation must be of schema {schema!r}; got {found!r:.60}.")
    return arrays


def _array(arrays: dict[str, NDArray], name: str, dtype: type, axes: int) -> NDArray:
    array = arrays.get(name)
    if array is None or array.dtype != dtype or array.ndim != axes:
        got = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
        raise RecordError(
            f"{name} of an evaluation must be {np.dtype(dtype)} with {axes} axes; got {got}."
        )
    return array


def _text(arrays: dict[str, NDArray], name: str) -> str:
    array = arrays.get(name)
    if array is None or array.dtype.kind != "U" or array.ndim != 0:
        raise RecordError(f"{name} of an evaluation must be a text; it is not.")
    return str(array)
