"""A device that is not there: its tensors are of device ``meta`` and have values all the same.

Code that runs on it behaves as on an accelerator with a memory of its own. The values lie on the
CPU and are computed there, but they meet no real CPU tensor, and what an accelerator would be asked
to do is counted: launches of operators, and occasions on which the host would wait for it.
"""

import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

# An index makes the meta device another one than the plain ``meta``, for caches of constants.
DEVICE = torch.device("meta", 0)
TRANSFERS = ("_to_copy", "copy_", "_copy_from")
# Operators that only make room, or another name for what is there.
FREE = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view")
WAITING = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


class PretendDevice(TorchDispatchMode):
    """Computes what happens to its tensors, within ``with``, and counts.

    ``launches`` holds the calls of each operator that computes; views and empty tensors are free,
    and an operator that needs several kernels counts once. ``synchronisations`` holds those that
    the host would wait for: sizes or values that depend on data, and copies between the device and
    the host. ``peak_bytes`` is the most memory that tensors had at any time, the temporary memory
    within an operator apart.

    >>> with PretendDevice() as device:
    ...     x = device.tensor(torch.tensor([1.0, 2.0]))
    ...     doubled = 2 * x
    >>> x.device, device.values(doubled), sum(device.launches.values())
    (device(type='meta', index=0), tensor([2., 4.]), 1)
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.synchronisations: Counter[str] = Counter()
        self.bytes = 0
        self.peak_bytes = 0
        self._memory: weakref.WeakValueDictionary[int, _Memory] = weakref.WeakValueDictionary()

    def reset(self) -> None:
        """Count from zero, and the memory from what is held now."""
        self.launches.clear()
        self.synchronisations.clear()
        self.peak_bytes = self.bytes

    def tensor(self, values: Tensor) -> Tensor:
        """A copy on this device, as a leaf of autograd."""
        return self._wrap(values.detach().clone())

    def values(self, x: Tensor) -> Tensor:
        """What a tensor of this device holds, on the CPU; counted as nothing."""
        assert isinstance(x, PretendTensor)
        return x.held

    def move(self, module: nn.Module) -> nn.Module:
        """Put parameters and buffers on this device, in place."""
        for part in module.modules():
            for name, parameter in part.named_parameters(recurse=False):
                setattr(part, name, nn.Parameter(self.tensor(parameter)))
            for name, buffer in part.named_buffers(recurse=False):
                setattr(part, name, self.tensor(buffer))
        return module

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        ours = [x for x in tensors if isinstance(x, PretendTensor)]
        device = kwargs.get("device")
        here = bool(ours) if device is None else torch.device(device).type == DEVICE.type
        if not ours and not here:
            return func(*args, **kwargs)
        operator = func.overloadpacket.__name__
        moves = operator in TRANSFERS and (len(ours) < len(tensors) or not here)
        if not moves:
            refuse_host_tensors(operator, tensors)
        self._count(func, operator, args, moves)
        if device is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        answer = func(*tree_map_only(PretendTensor, held, args),
                      **tree_map_only(PretendTensor, held, kwargs))  # fmt: skip
        return self._answer(func, args, kwargs, answer) if here else answer

    def _count(self, func: Any, operator: str, args: tuple[Any, ...], moves: bool) -> None:
        if moves or waits(func, operator, args):
            self.synchronisations[operator] += 1
        elif not func.is_view and operator not in FREE:
            self.launches[operator] += 1

    def _answer(self, func: Any, args: tuple[Any, ...], kwargs: Any, answer: Any) -> Any:
        """The answer on this device: the very tensors that were written into, else new ones."""
        written = {id(x.held): x for x in tree_flatten((args, kwargs))[0] if is_pretended(x)}

        def wrap(x: Tensor) -> Tensor:
            return written[id(x)] if id(x) in written else self._wrap(x)

        return tree_map_only(Tensor, wrap, answer)

    def _wrap(self, values: Tensor) -> "PretendTensor":
        key = values.untyped_storage()._cdata
        memory = self._memory.get(key)
        if memory is None:
            memory = self._memory[key] = _Memory(self, values.untyped_storage().nbytes())
        return PretendTensor(values, memory)


class PretendTensor(Tensor):
    """A tensor of a ``PretendDevice``."""

    held: Tensor
    memory: "_Memory"

    @staticmethod
    def __new__(cls, values: Tensor, memory: "_Memory") -> "PretendTensor":
        made = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
        )
        made.held, made.memory = values, memory
        return made

    def tolist(self) -> Any:
        """As PyTorch's own, which no subclass of a tensor may use; the host waits for it."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} was called outside of the pretend device's `with`.")


class _Memory:
    """What one allocation takes of its device for as long as any tensor lies in it."""

    def __init__(self, device: PretendDevice, nbytes: int) -> None:
        self.device, self.nbytes = device, nbytes
        device.bytes += nbytes
        device.peak_bytes = max(device.peak_bytes, device.bytes)

    def __del__(self) -> None:
        self.device.bytes -= self.nbytes


def held(x: PretendTensor) -> Tensor:
    return x.held


def is_pretended(x: Any) -> bool:
    return isinstance(x, PretendTensor)


def refuse_host_tensors(operator: str, tensors: list[Tensor]) -> None:
    """Scalars of the host may meet tensors of a device, as everywhere in PyTorch; no other may."""
    strays = [x for x in tensors if not isinstance(x, PretendTensor) and x.ndim]
    if strays:
        raise RuntimeError(
            f"{operator} was given tensors of the pretend device and of the CPU, the latter of "
            f"shape {tuple(strays[0].shape)}."
        )


def waits(func: Any, operator: str, args: tuple[Any, ...]) -> bool:
    """Whether the host learns something from the device: a value, or how large an answer is."""
    if operator in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return any(x is not None and x.dtype == torch.bool for x in args[1])
    return operator == "_local_scalar_dense" or any(tag in func.tags for tag in WAITING)
