import copy
import io
import math
from itertools import islice

import pytest
import torch
from torch import nn

from siconvnet.fit import DivergedError, Fit, Images, LogitsError


def images(count: int, seed: int) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 1, 6, 6), generator=generator, dtype=torch.uint8)
    return Images(pixels, (pixels.float().mean(dim=(1, 2, 3)) > 127).long())


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))


def fit(**options) -> Fit:
    options = {"lr": 1e-2, "max_epochs": 4, "batch_size": 8} | options
    return Fit(network(), images(35, 1), images(20, 2), **options)


def through_a_file(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("stop_after", [1, 4, 5, 7, 8, 13, 27])
def test_stopping_after_any_batch_and_going_on_gives_the_same_numbers(stop_after: int):
    whole = fit()
    epochs = [step.finished for step in whole if step.finished]
    first, second = fit(), fit()
    begun = [step.finished for step in islice(first, stop_after)]
    second.load_state_dict(through_a_file(first.state_dict()))
    rest = [step.finished for step in second]
    assert [epoch for epoch in begun + rest if epoch] == epochs
    assert second.best == whole.best
    for key, weight in whole.best_weights.items():
        assert torch.equal(second.best_weights[key], weight)


def test_on_a_cpu_steps_that_may_be_recorded_are_run_as_any_others():
    recorded, run = ([step.finished for step in fit(capturable=each)] for each in (True, False))
    assert recorded == run


def test_how_adam_computed_elsewhere_does_not_bind_the_one_that_goes_on():
    expected = [step.finished for step in fit() if step.finished]
    first, second = fit(), fit()
    begun = [step.finished for step in islice(first, 11)]
    state = through_a_file(first.state_dict())
    (group,) = state["optimizer"]["param_groups"]
    assert not group["capturable"]
    group |= {"capturable": True, "fused": True}  # as on a GPU
    second.load_state_dict(state)
    rest = [step.finished for step in second]
    assert [epoch for epoch in begun + rest if epoch] == expected


@pytest.mark.parametrize("counts", [(0, 20), (35, 0), (0, 0)])
def test_no_images_to_train_or_to_validate_on_are_refused(counts: tuple[int, int]):
    train, valid = (images(count, seed) for seed, count in enumerate(counts))
    message = f"at least one training and one validation image; got {counts[0]} and {counts[1]}: "
    with pytest.raises(ValueError, match=message):
        Fit(network(), train, valid, lr=1e-2)


def test_an_epoch_counts_every_image_once_and_keeps_the_last_smaller_batch():
    steps = list(fit(max_epochs=1, lr=0.0))
    assert [step.batch for step in steps] == [1, 2, 3, 4, 5, 6, 7, 8]  # 35 and 20 images by 8
    model, train = network(), images(35, 1)
    logits = model(train.images.float() / 255)
    expected = nn.functional.cross_entropy(logits, train.labels).item()
    assert steps[-1].finished is not None
    assert steps[-1].finished.train_loss == pytest.approx(expected, rel=1e-6)
    accuracy = (logits.argmax(dim=1) == train.labels).double().mean().item()
    assert steps[-1].finished.train_accuracy == accuracy


def test_training_ends_after_patience_epochs_without_a_better_validation_accuracy():
    epochs = [step.finished for step in fit(lr=0.0, max_epochs=50, patience=3) if step.finished]
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]  # the first is best, then three


def test_an_equal_validation_accuracy_does_not_replace_the_best_epoch():
    frozen = fit(lr=0.0, max_epochs=3)
    list(frozen)
    assert frozen.best is not None
    assert frozen.best.number == 1


def test_the_best_weights_are_those_of_the_best_epoch_and_not_of_the_last():
    training = fit(lr=0.3, max_epochs=8, patience=8)
    weights = {}
    for step in training:
        if step.finished:
            weights[step.epoch] = copy.deepcopy(training.model.state_dict())
    assert training.best is not None
    assert training.best.number < 8
    best = weights[training.best.number]
    assert all(torch.equal(training.best_weights[key], best[key]) for key in best)
    assert not all(torch.equal(training.best_weights[key], weights[8][key]) for key in best)


def test_a_loss_that_is_not_finite_ends_training_with_the_epoch_named():
    training = fit(lr=math.inf)
    with pytest.raises(DivergedError, match="in epoch 1 training gave nan"):
        list(training)


class Spoilt(nn.Module):
    """A network whose logits are not finite after a number of training batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.network = network()
        self.register_buffer("left", torch.tensor(batches))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= int(self.training)
        return self.network(x) * (1.0 if self.left >= 0 else math.nan)


def spoilt(batches: int, **options) -> Fit:
    """Five training batches and three validation batches an epoch."""
    options = {"lr": 1e-2, "max_epochs": 9, "batch_size": 8, "stop_on_divergence": True} | options
    return Fit(Spoilt(batches), images(35, 1), images(20, 2), **options)


@pytest.mark.parametrize("batches", [10, 11, 14])
def test_training_that_diverges_may_end_with_the_best_of_the_epochs_before(batches: int):
    training = spoilt(batches)
    epochs = [step.finished for step in training if step.finished]
    assert [epoch.number for epoch in epochs] == [1, 2]
    assert training.done
    assert training.best == max(epochs, key=lambda epoch: epoch.valid_accuracy)
    assert all(weight.isfinite().all() for weight in training.best_weights.values())
    with pytest.raises(DivergedError, match="in epoch 3 training gave nan"):
        list(spoilt(batches, stop_on_divergence=False))


def test_training_that_diverges_in_its_first_epoch_fails_all_the_same():
    with pytest.raises(DivergedError, match="in epoch 1 training gave nan"):
        list(spoilt(4))


def test_training_that_ended_by_divergence_is_over_after_it_was_saved_and_loaded():
    before, after = spoilt(10), spoilt(10)
    list(before)
    after.load_state_dict(through_a_file(before.state_dict()))
    assert after.done
    assert after.best == before.best


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (lambda logits: logits[:, :, None], r"torch\.float32 \(8, 2, 1\)"),
        (lambda logits: torch.cat([logits, logits], 1), r"torch\.float32 \(8, 4\)"),
        (lambda logits: logits[:1], r"torch\.float32 \(1, 2\)"),
        (lambda logits: logits[:, 0], r"torch\.float32 \(8,\)"),
        (lambda logits: logits.argmax(1), r"torch\.int64 \(8,\)"),
        (lambda logits: logits.to(torch.complex64), r"torch\.complex64 \(8, 2\)"),
        (lambda logits: (logits, logits), "an object of type tuple"),
        (lambda logits: {"logits": logits}, "an object of type dict"),
        (lambda logits: [logits], "an object of type list"),
    ],
)
def test_an_output_that_is_no_logits_is_refused_before_the_first_step(output, got: str):
    training = fit(num_classes=2, name="The model mine")
    model, before = training.model, copy.deepcopy(training.model.state_dict())
    model.register_forward_hook(lambda module, given, logits: output(logits))
    said = (
        rf"^The model mine must return floating-point logits .* which is \(8, 2\) here; got {got}"
    )
    with pytest.raises(LogitsError, match=said):
        list(training)
    assert all(torch.equal(weight, before[key]) for key, weight in model.state_dict().items())


def test_logits_are_also_checked_in_validation():
    training = fit(num_classes=2)
    training.model.register_forward_hook(
        lambda module, given, logits: logits if module.training else logits[..., None]
    )
    with pytest.raises(LogitsError, match=r"got torch\.float32 \(8, 2, 1\)"):
        list(training)
