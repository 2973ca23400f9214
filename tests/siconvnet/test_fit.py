import copy
import io
import math
from itertools import islice

import pytest
import torch
from torch import nn

from siconvnet.fit import DivergedError, Fit, Images


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
