"""Kinds of machine, what they have and what they cost an hour: a table, or a file of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean
from tune_jobs.yaml_file import parse_yaml, read_bytes

SHIPPED = Path(__file__).with_name("kinds.yaml")
HEAD = "m7i.large"
CPU_TYPES = ("c7i.4xlarge", "c7a.4xlarge", "c6i.4xlarge", "m7i.4xlarge")  # 16 CPUs each
GPU_TYPES = ("g6.2xlarge", "g5.2xlarge")  # 8 CPUs and a GPU with 24 GB each
SPOT_SHARE = 0.5  # of the price on demand, where no spot price is known


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A kind of machine. Prices are dollars an hour; ``spot`` is None where it is not known.

    ``gpu`` is what PyTorch calls its GPUs, if it is known.
    """

    type: str
    cpus: int
    on_demand: float
    gpus: int = 0
    gpu: str = ""
    gpu_gb: float = 0.0
    spot: float | None = None

    @property
    def likely_spot(self) -> float:
        """The spot price, or a guess at it."""
        return self.spot if self.spot is not None else SPOT_SHARE * self.on_demand


def load_machines(path: str | Path = SHIPPED) -> dict[str, Machine]:
    """The machines of a YAML list, by their types; TuneJobsError for one that is not as it must be.

    >>> load_machines()["g6.2xlarge"].gpus
    1
    """
    what = "a file of machines"
    content = parse_yaml(read_bytes(path, what), what, where=str(path))
    if not isinstance(content, list) or not content:
        raise TuneJobsError(
            f"A file of machines must be a list of them, such as shipped in {SHIPPED.name}; "
            f"{path} holds {_kind(content)}."
        )
    machines = [_machine(entry, path) for entry in content]
    return {machine.type: machine for machine in machines}


def _machine(entry: Any, path: str | Path) -> Machine:
    known = {field.name for field in fields(Machine)}
    if not isinstance(entry, Mapping):
        raise TuneJobsError(f"A machine must be a mapping; {path} has {entry!r:.80}.")
    for key in entry:
        if key not in known:
            raise TuneJobsError(f"A machine has no {key!r}, in {path}.{did_you_mean(key, known)}")
    absent = {"type", "cpus", "on_demand"} - set(entry)
    if absent or not isinstance(entry["type"], str):
        raise TuneJobsError(
            "A machine must have type (a name), cpus and on_demand (dollars an hour); "
            f"{path} has {dict(entry)!r:.120}."
        )
    if not isinstance(entry.get("gpu", ""), str):
        raise TuneJobsError(
            "gpu of a machine must be the name that PyTorch gives it, such as NVIDIA L4; "
            f"{path} has {entry['gpu']!r:.80}."
        )
    if entry.get("gpu") and not entry.get("gpus"):
        raise TuneJobsError(
            f"A machine with a gpu must say with gpus how many it has; {path} has "
            f"{dict(entry)!r:.120}."
        )
    numbers = {key: value for key, value in entry.items() if key not in ("type", "gpu")}
    for key, value in numbers.items():
        whole = key in ("cpus", "gpus")
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise TuneJobsError(f"{key} of a machine must be a number; {path} has {value!r:.80}.")
        if not 0 <= value < 1e6 or (key == "cpus" and value < 1):
            raise TuneJobsError(f"{key} of a machine must be above 0; {path} has {value!r:.80}.")
    return Machine(**entry)


def _kind(content: object) -> str:
    return "nothing" if content is None else f"a {type(content).__name__}"
