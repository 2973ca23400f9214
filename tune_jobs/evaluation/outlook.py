"""How many images an evaluation will pass, and how long that may take; measures nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stir import SCENARIOS
from stir.terminal import step
from tune_jobs.evaluation.measures import Passes, network_of, passes_of
from tune_jobs.plan.cost import per_image
from tune_jobs.records.evaluation import Wanted
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import read_records

# On one thread of an AMD EPYC in November 2026: medians over the models that are measured so.
COMPARED_SECONDS = 0.0014  # that an image takes when its maps are compared, after its pass
SIZES_TAKE = 1.4  # times as long as a pass


@dataclass(frozen=True, slots=True)
class Outlook:
    """Images to be passed, by point; and seconds on one core, None where they are not known."""

    images: Mapping[str, int]
    seconds: float | None


def outlook(
    point_ids: Sequence[str],
    storage: Storage,
    wanted: Wanted,
    load: Callable[[], None] = lambda: None,
) -> Outlook:
    """Look at what is left to measure of finished points, as if none of it were stored.

    ``load`` registers users' own models. A point that cannot be looked at counts for no image: why
    not will be said when it is evaluated. Times are those of validation in the points' records,
    and known where all of them were trained on CPUs.
    """
    images: dict[str, int] = {}
    seconds: list[float | None] = []
    with step("reading records"):
        for point_id, record in read_records(storage, point_ids, []).items():
            try:
                load()
                network, channels = network_of(record)
                passes = passes_of(record, network, wanted.keys(point_id), channels=channels)
            except Exception:  # of users' own code, too
                continue
            images[point_id] = passes.total
            seconds.append(_seconds(record, passes))
    known = [one for one in seconds if one is not None]
    return Outlook(images, sum(known) if len(known) == len(point_ids) else None)


def _seconds(record: TrialRecord, passes: Passes) -> float | None:
    if not record.provenance.device.startswith("cpu"):
        return None
    validated = record.scales[0].total * len(SCENARIOS[record.point.scenario].train_scales)
    each = per_image(record, validated).valid
    plain = passes.errors + passes.answers + passes.maps
    return each * (plain + SIZES_TAKE * passes.sizes) + COMPARED_SECONDS * passes.errors
