"""The CPUs and GPU share that each trial takes, and batches of trials that take the same. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from stir import SCALES, SCENARIOS, DatasetSummary
from stir.schema import CANVAS
from tune_jobs.plan.gpu_memory import gpu_share
from tune_jobs.point import TrialSpec
from tune_jobs.study.study import Resources

Batch = tuple[Resources, Sequence[TrialSpec]]


def resources_of(
    spec: TrialSpec, resources: Resources, datasets: Mapping[str, DatasetSummary]
) -> Resources:
    """What a trial takes; of a GPU whose memory the study gives, the share that its model needs."""
    if resources.gpu_gb is None:
        return resources
    dataset = datasets[spec.point.dataset]
    scales = 2 * len(SCENARIOS[spec.point.scenario].train_scales) + len(SCALES)
    images = dataset.num_classes * dataset.instances * scales  # to train, to validate, to test
    share = gpu_share(
        spec.point.model,
        channels=dataset.num_channels,
        images_bytes=images * dataset.num_channels * CANVAS**2,
        gpu_bytes=int(resources.gpu_gb * 1e9),
        batch_size=spec.recipe.batch_size,
    )
    return replace(resources, gpus=share)


def batches(
    specs: Sequence[TrialSpec], shape: Callable[[TrialSpec], Resources], size: int
) -> list[Batch]:
    """Trials in batches of one shape each, in their order as far as shapes allow."""
    of_shape: dict[Resources, list[TrialSpec]] = {}
    for spec in specs:
        of_shape.setdefault(shape(spec), []).append(spec)
    return [
        (resources, alike[start : start + size])
        for resources, alike in of_shape.items()
        for start in range(0, len(alike), size)
    ]
