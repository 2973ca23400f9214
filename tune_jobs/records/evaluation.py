"""What an evaluation of finished weights leaves behind: ``.npz`` objects. No torch, no Ray."""

import io
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stir import archive
from tune_jobs.records.keys import Kind, evaluation_key, maps_key, parse_key, predictions_key
from tune_jobs.records.schema import RecordError

EVALUATION_SCHEMA = "stir-evaluation/1"
PREDICTIONS_SCHEMA = "stir-predictions/1"
MAPS_SCHEMA = "stir-index-maps/1"


class ObjectIndex(NamedTuple):
    """One object of a test split, by the place of its class and its place in the class."""

    class_index: int
    instance: int


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
        point_id, weights_key = _keys(arrays)
        evaluation = cls(
            point_id=point_id,
            weights_key=weights_key,
            equivariance=_array(arrays, "equivariance", np.float64, 4),
            pairs=_array(arrays, "pairs", np.int64, 2),
            pool_scales=_stages(arrays, "pool_scales_", np.float32),
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
        point_id, weights_key = _keys(arrays)
        predictions = cls(
            point_id=point_id,
            weights_key=weights_key,
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


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexMaps:
    """The kernel size that one point's weights choose at every pixel, for one test object.

    ``maps``: for each stage (channels, scales, height, width) in pixels; ``scales`` (scales,) of
    the object, in pixels. Empty for a model that does not choose at each pixel.
    """

    point_id: str
    weights_key: str
    object: ObjectIndex
    maps: tuple[NDArray[np.uint8], ...]
    scales: NDArray[np.int64]

    def to_npz(self) -> bytes:
        return _to_npz(
            MAPS_SCHEMA,
            {
                "point_id": np.array(self.point_id),
                "weights_key": np.array(self.weights_key),
                "object": np.array(self.object, dtype=np.int64),
                "scales": self.scales,
            }
            | {f"maps_{n}": sizes for n, sizes in enumerate(self.maps, start=1)},
        )

    @classmethod
    def from_npz(cls, data: bytes) -> Self:
        """Read what ``to_npz`` wrote; raises RecordError if anything is amiss."""
        arrays = _from_npz(data, MAPS_SCHEMA)
        place = _array(arrays, "object", np.int64, 1).tolist()
        if len(place) != 2:
            raise RecordError(f"A test object must be a class and an instance; got {place!s:.60}.")
        point_id, weights_key = _keys(arrays)
        maps = cls(
            point_id=point_id,
            weights_key=weights_key,
            object=ObjectIndex(*place),
            maps=_stages(arrays, "maps_", np.uint8),
            scales=_array(arrays, "scales", np.int64, 1),
        )
        if any(sizes.shape[1] != len(maps.scales) for sizes in maps.maps):
            raise RecordError(
                f"Index maps must have a row for each of {len(maps.scales)} scales; got "
                f"{[sizes.shape[1] for sizes in maps.maps]}."
            )
        return maps


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is measured of a point: always its evaluation, on request more."""

    predictions: bool = False
    maps: tuple[ObjectIndex, ...] = ()

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of a storage in which it lies."""
        return (
            Kind.EVALUATION,
            *([Kind.PREDICTIONS] if self.predictions else []),
            *([Kind.INDEX_MAPS] if self.maps else []),
        )

    def keys(self, point_id: str) -> list[str]:
        return [
            evaluation_key(point_id),
            *([predictions_key(point_id)] if self.predictions else []),
            *(maps_key(point_id, place) for place in self.maps),
        ]


ALWAYS = Wanted()


def _to_npz(schema: str, arrays: dict[str, NDArray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, schema=np.array(schema), **arrays)
    return buffer.getvalue()


def _from_npz(data: bytes, schema: str) -> dict[str, NDArray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as bundle:
            arrays = {name: bundle[name] for name in bundle.files}
    except (*archive.UNREADABLE, KeyError, OSError) as error:
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


def _stages(arrays: dict[str, NDArray], prefix: str, dtype: type) -> tuple[NDArray, ...]:
    """The arrays ``prefix``1, ``prefix``2 and so on, of four axes each."""
    count = sum(name.startswith(prefix) for name in arrays)
    return tuple(_array(arrays, f"{prefix}{stage}", dtype, 4) for stage in range(1, count + 1))


def _keys(arrays: dict[str, NDArray]) -> tuple[str, str]:
    """The point of an evaluation and the key of its weights, which are that point's."""
    point_id, key = _text(arrays, "point_id"), _text(arrays, "weights_key")
    parsed = parse_key(key)
    if parsed is None or parsed.kind is not Kind.WEIGHTS or parsed.point_id != point_id:
        raise RecordError(
            f"weights_key of an evaluation must be of its own point, {point_id!r:.60}; "
            f"got {key!r:.60}."
        )
    return point_id, key


def _text(arrays: dict[str, NDArray], name: str) -> str:
    array = arrays.get(name)
    if array is None or array.dtype.kind != "U" or array.ndim != 0:
        raise RecordError(f"{name} of an evaluation must be a text; it is not.")
    return str(array)
