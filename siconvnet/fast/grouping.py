"""How much is computed at once: little on a CPU, as much as memory allows elsewhere.

A CPU is fastest while what it works on stays in its cache; elsewhere each launch has its price, and
few large ones are fast. So scales and frequencies are taken in groups, by the same code.
"""

import itertools

import torch

GROUP_ELEMENTS = 2**26  # of one buffer of a group elsewhere than on a CPU: 256 MB in float32


def at_once(count: int, elements: int, device: torch.device) -> int:
    """How many of ``count`` like things are computed at once, of so many elements each."""
    if device.type == "cpu":
        return 1
    return min(count, max(1, GROUP_ELEMENTS // max(1, elements)))


def portions(count: int, elements: int, device: torch.device) -> list[slice]:
    """``count`` like things in as few groups as ``at_once`` allows, of about the same number."""
    groups = -(-count // at_once(count, elements, device))
    bounds = [round(count * number / groups) for number in range(groups + 1)]
    return [slice(*pair) for pair in itertools.pairwise(bounds)]
