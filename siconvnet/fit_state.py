"""Whether a saved state is one that training can go on from, found out before any of it is used."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

_BEST = {
    "number": int,
    "train_loss": float,
    "train_accuracy": float,
    "valid_loss": float,
    "valid_accuracy": float,
}
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}


def require_state(
    state: Any,
    own: dict[str, Any],
    *,
    parameters: Sequence[Tensor],
    last_epoch: int,
    batches: int,
) -> None:
    """Raise ValueError unless a Fit may be in ``state`` after some number of batches.

    ``own`` is its state before the first one, ``last_epoch`` the last one it may train, ``batches``
    the number of them in an epoch. Names, shapes and types have to fit, and positions to exist;
    the values of tensors are not checked.
    """
    if not isinstance(state, dict) or state.keys() != own.keys():
        raise ValueError(f"A state of training must have the fields {', '.join(own)}.")
    epoch, batch = state["epoch"], state["batch"]
    if type(epoch) is not int or not 1 <= epoch <= last_epoch + 1:
        raise ValueError(f"Training must be in one of {last_epoch} epochs; got {epoch!r:.60}.")
    if type(batch) is not int or not 0 <= batch < batches:
        raise ValueError(f"An epoch must have {batches} batches; {batch!r:.60} are done.")
    for name in ("model", "sums"):
        if _form(state[name]) != _form(own[name]):
            raise ValueError(f"Every tensor in {name} must have its name, shape and type.")
    _require_adam(state["optimizer"], parameters, begun=(epoch, batch) != (1, 0))
    _require_best(state["best"], state["best_weights"], own["model"], epoch=epoch)


def _require_adam(state: Any, parameters: Sequence[Tensor], *, begun: bool) -> None:
    """A step count and two averages for each parameter that has had a gradient."""
    try:
        [group] = state["param_groups"]
        moments, numbers = state["state"], group["params"]
        fits = numbers == list(range(len(parameters))) and bool(moments) == begun
        for number, moment in moments.items():
            form = _form(parameters[number])
            fits &= moment.keys() == _MOMENTS and moment["step"].shape == ()
            fits &= _form(moment["exp_avg"]) == _form(moment["exp_avg_sq"]) == form
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        fits = False
    if not fits:
        raise ValueError("The optimizer must have Adam's averages of the model's parameters.")


def _require_best(best: Any, weights: Any, model: dict[str, Tensor], *, epoch: int) -> None:
    if best is None:
        if epoch > 1 or weights != {}:
            raise ValueError("After an epoch there must be a best one.")
        return
    form = {key: type(value) for key, value in best.items()} if isinstance(best, dict) else None
    if form != _BEST or not 1 <= best["number"] < epoch:
        raise ValueError(f"The best epoch must be one of those trained; got {best!r:.60}.")
    if _form(weights) != _form(model):
        raise ValueError("Every tensor in best_weights must have its name, shape and type.")


def _form(value: Any) -> Any:
    """Names, shapes and types of tensors, without what they hold."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype
    if isinstance(value, dict):
        return {key: _form(inner) for key, inner in value.items()}
    return type(value)
