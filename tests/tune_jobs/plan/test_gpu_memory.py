"""The share of a GPU that a trial asks for."""

import pytest

from tune_jobs.plan.gpu_memory import (
    CONTEXT_BYTES,
    MOST_TRIALS,
    SPARE,
    STEP_MB,
    USABLE,
    gpu_share,
    trial_bytes,
)
from tune_jobs.plan.prior import PRIOR_MS

GB = 10**9


def share(model: str = "conv3d", *, channels: int = 1, gpu_bytes: int = 24 * GB, **given: int):
    return gpu_share(
        model,
        channels=channels,
        images_bytes=given.pop("images_bytes", 0),
        gpu_bytes=gpu_bytes,
        **given,
    )


def test_every_model_of_the_benchmark_has_a_figure():
    assert set(STEP_MB) == set(PRIOR_MS)


def test_a_trial_takes_its_step_its_images_and_the_allowances():
    taken = trial_bytes("conv3d", channels=3, images_bytes=123)
    assert taken == round(CONTEXT_BYTES + SPARE * STEP_MB["conv3d"][1] * 10**6) + 123


def test_a_batch_twice_as_big_takes_a_step_twice_as_big():
    steps = [
        trial_bytes("xu", channels=1, images_bytes=0, batch_size=size) - CONTEXT_BYTES
        for size in (16, 32)
    ]
    assert steps[1] == 2 * steps[0]


@pytest.mark.parametrize("model", sorted(STEP_MB))
@pytest.mark.parametrize("gpu_bytes", [2 * GB, 6 * GB, 16 * GB, 80 * GB])
def test_as_many_trials_as_share_a_gpu_fit_on_it(model: str, gpu_bytes: int):
    trials = int(1 / share(model, gpu_bytes=gpu_bytes, images_bytes=GB // 2))
    taken = trial_bytes(model, channels=1, images_bytes=GB // 2)
    assert taken is not None
    assert trials == 1 or trials * taken <= USABLE * gpu_bytes
    assert trials == MOST_TRIALS or (trials + 1) * taken > USABLE * gpu_bytes


def test_more_images_on_the_gpu_leave_room_for_fewer_trials():
    few, many = (share(images_bytes=size, gpu_bytes=8 * GB) for size in (0, 3 * GB))
    assert few < many


def test_shares_are_such_that_all_of_them_fit_into_one_gpu():
    shares = {share(gpu_bytes=size) for size in range(GB, 20 * GB, GB // 2)}
    assert shares == {1.0, 0.5, 0.3333, 0.25}
    for one in shares:
        assert round(1 / one) * one <= 1
        assert round(one * 10_000) == one * 10_000


@pytest.mark.parametrize("model", ["my_own", "conv3d"])
def test_what_is_unknown_or_too_big_gets_a_gpu_of_its_own(model: str):
    assert share(model, gpu_bytes=GB // 4) == 1.0
