"""Every key of a storage: how it is made, and the one strict place where it is taken apart."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

POINT_ID = "[0-9a-f]{12}"
STUDY_NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"  # of a study or a phase
_DIGEST = "[0-9a-f]{12}"
_NUMBER = "0|[1-9][0-9]{0,8}"


class Kind(StrEnum):
    """What an object is; the value is the folder that it lies in, at first or second level."""

    DATASET = "datasets"
    RECORD = "records"
    WEIGHTS = "weights"
    FAILURE = "failures"
    CLAIM = "claims"
    CHECKPOINT = "checkpoints"
    EVALUATION = "evaluations"
    PREDICTIONS = "predictions"
    INDEX_MAPS = "index_maps"
    STUDY = "studies"
    SEARCH = "searches"
    SAMPLES = "samples"
    OUTCOME = "outcomes"
    CALIBRATION = "calibrations"
    RENTALS = "costs"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key taken apart: what the object is, and whose; None for what its kind does not have.

    ``digest`` are the first twelve hex digits of the SHA-256 of weights, of a damaged record's
    content, or of a dataset's fingerprint.
    """

    kind: Kind
    point_id: str | None = None
    digest: str | None = None
    attempt: int | None = None  # of a failure, counted from 1
    study: str | None = None
    phase: str | None = None
    dataset: str | None = None
    class_index: int | None = None  # of the test object that index maps are of
    instance: int | None = None
    driver: str | None = None  # whose rentals they are
    machine: str | None = None  # the kind of machine that a calibration is of


def parse_key(text: str) -> Key | None:
    """Take a key apart; None unless it is exactly as one of the functions below makes it.

    Copies that editors, file managers and people leave in a folder are no objects of the storage:

    >>> parse_key("records/0123456789ab.json").point_id
    '0123456789ab'
    >>> parse_key("records/0123456789ab.json.bak") is None
    True
    """
    for kind, form in _FORMS.get(text.partition("/")[0], ()):
        if match := form.fullmatch(text):
            parts: dict[str, Any] = match.groupdict()
            parts |= {name: int(parts[name]) for name in _WHOLE if name in parts}
            return Key(kind=kind, **parts)
    return None


def point_id_of(key: str) -> str | None:
    """The point that an object belongs to; None for other objects and for stray files."""
    parsed = parse_key(key)
    return parsed.point_id if parsed else None


def record_key(point_id: str) -> str:
    return f"records/{point_id}.json"


def weights_key(point_id: str, digest: str) -> str:
    return f"weights/{point_id}-{digest[:12]}.pt"


def failures_folder(point_id: str) -> str:
    return f"failures/{point_id}"


def failure_key(point_id: str, attempt: int) -> str:
    return f"{failures_folder(point_id)}/{attempt}.json"


def claim_key(point_id: str) -> str:
    return f"claims/{point_id}.json"


def checkpoint_key(point_id: str) -> str:
    return f"checkpoints/{point_id}.pt"


def dataset_key(name: str, fingerprint: str) -> str:
    return f"datasets/{name}-{fingerprint[:12]}.npz"


def evaluation_key(point_id: str) -> str:
    return f"evaluations/{point_id}.npz"


def predictions_key(point_id: str) -> str:
    return f"predictions/{point_id}.npz"


def maps_key(point_id: str, test_object: tuple[int, int]) -> str:
    """``test_object``: its class and its instance in the class, both counted from 0."""
    class_index, instance = test_object
    return f"index_maps/{point_id}/{class_index}-{instance}.npz"


def study_folder(study: str) -> str:
    return f"studies/{study}"


def study_key(study: str, phase: str) -> str:
    return f"{study_folder(study)}/{phase}.json"


def search_key(study: str) -> str:
    return f"searches/{study}/search.json"


def samples_key(study: str) -> str:
    return f"searches/{study}/samples.jsonl"


def outcomes_folder(study: str) -> str:
    return f"searches/{study}/outcomes"


def outcome_key(study: str, point_id: str) -> str:
    return f"{outcomes_folder(study)}/{point_id}.json"


def calibration_key(machine: str) -> str:
    return f"calibrations/{machine}.json"


def rentals_folder(study: str) -> str:
    return f"costs/{study}"


def rentals_key(study: str, driver: str) -> str:
    """What machines cost while a driver ran a study."""
    return f"{rentals_folder(study)}/{driver}.json"


def damaged_key(point_id: str, digest: str) -> str:
    """Where the damaged record of a point is moved to."""
    return f"damaged/records/{point_id}-{digest[:12]}.json"


def _forms(templates: Iterable[tuple[Kind, str]]) -> dict[str, list[tuple[Kind, re.Pattern[str]]]]:
    """Patterns by the first part of their keys; a word in <> stands for a named part."""
    parts = {
        "point_id": POINT_ID,
        "digest": _DIGEST,
        "driver": "[0-9a-f]{12}",
        "study": STUDY_NAME,
        "phase": STUDY_NAME,
        "machine": "[a-z0-9](-?[a-z0-9]){0,63}",
        "dataset": r"[^./\\][^/\\]*",
        **dict.fromkeys(_WHOLE, _NUMBER),
    }
    forms: dict[str, list[tuple[Kind, re.Pattern[str]]]] = {}
    for kind, template in templates:
        pattern = re.sub(r"<(\w+)>", lambda part: f"(?P<{part[1]}>{parts[part[1]]})", template)
        forms.setdefault(template.partition("/")[0], []).append((kind, re.compile(pattern)))
    return forms


_WHOLE = ("attempt", "class_index", "instance")
_FORMS = _forms(
    [
        (Kind.DATASET, r"datasets/<dataset>-<digest>\.npz"),
        (Kind.RECORD, r"records/<point_id>\.json"),
        (Kind.WEIGHTS, r"weights/<point_id>-<digest>\.pt"),
        (Kind.FAILURE, r"failures/<point_id>/<attempt>\.json"),
        (Kind.CLAIM, r"claims/<point_id>\.json"),
        (Kind.CHECKPOINT, r"checkpoints/<point_id>\.pt"),
        (Kind.EVALUATION, r"evaluations/<point_id>\.npz"),
        (Kind.PREDICTIONS, r"predictions/<point_id>\.npz"),
        (Kind.INDEX_MAPS, r"index_maps/<point_id>/<class_index>-<instance>\.npz"),
        (Kind.STUDY, r"studies/<study>/<phase>\.json"),
        (Kind.SEARCH, r"searches/<study>/search\.json"),
        (Kind.SAMPLES, r"searches/<study>/samples\.jsonl"),
        (Kind.OUTCOME, r"searches/<study>/outcomes/<point_id>\.json"),
        (Kind.CALIBRATION, r"calibrations/<machine>\.json"),
        (Kind.RENTALS, r"costs/<study>/<driver>\.json"),
        (Kind.DAMAGED, r"damaged/records/<point_id>-<digest>\.json"),
    ]
)
