"""All checks of a cluster file, in their order."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_jobs.cluster.check import at_hand
from tune_jobs.cluster.check.access import (
    closed_ports,
    instance_metadata,
    instance_profiles,
    local_dashboard,
    no_secrets,
    token_mode,
)
from tune_jobs.cluster.check.nodes import ended_nodes, head_node, launch_keys, provider_keys
from tune_jobs.cluster.check.schema import effective, schema_faults
from tune_jobs.cluster.check.versions import same_versions
from tune_jobs.errors import TuneJobsError
from tune_jobs.yaml_file import parse_yaml, read_bytes

Config = Mapping[str, Any]
Checks = Mapping[str, Callable[[Config], Iterator[str]]]

ON_AWS: Checks = {
    "every key of provider is one that Ray's AWS provider reads": provider_keys,
    "every key and choice in node_config is one of EC2's": launch_keys,
    "no machine is open to the world": closed_ports,
    "every machine has an instance profile of its kind": instance_profiles,
    "a machine's keys are given out only for a session token": instance_metadata,
    "the dashboard listens on the head alone": local_dashboard,
    "Ray asks for its token": token_mode,
    "no secret is in the file": no_secrets,
    "the head is on-demand and trains nothing": head_node,
    "machines end when they are not needed, in any zone": ended_nodes,
    "Ray, PyTorch, Python and this software are the versions that are here": same_versions,
}

AT_HAND: Checks = {
    "every machine is named once": at_hand.machines,
    "every machine that is named is used": at_hand.workers_in_use,
    "every machine has the same storage": at_hand.one_storage,
    "the dashboard listens on the head alone": local_dashboard,
    "Ray asks for its token": token_mode,
    "no secret is in the file": no_secrets,
    "Ray, PyTorch, Python and this software are the versions that are here": same_versions,
}
CHECKS: Mapping[str, Checks] = {"aws": ON_AWS, "local": AT_HAND}  # by provider.type

_PLACEHOLDER = re.compile(r"\bYOUR-[A-Z]+\b|\b(?:ami|sg)-0{8,17}\b")


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: the rules that were ``checked`` and the ``faults`` by the rule they break.

    ``blanks`` are still to be filled in, ``absent`` files of this machine are to be mounted and not
    there. A file with a fault in Ray's own schema is checked no further.
    """

    checked: tuple[str, ...]
    faults: Mapping[str, tuple[str, ...]]
    blanks: tuple[str, ...]
    absent: tuple[str, ...]


def check_cluster(path: str | Path) -> Report:
    """Look at a cluster file as Ray would complete it; nothing is asked of AWS.

    Raises TuneJobsError for what is no YAML mapping or no cluster on AWS or of machines at hand,
    OSError for a file that cannot be read.
    """
    data = read_bytes(path, "a cluster file")
    config = parse_yaml(data, "a cluster file", where=str(path))
    kind = _provider_type(config, path)
    if not isinstance(kind, str) or kind not in CHECKS:
        raise TuneJobsError(
            f"cluster-check knows provider.type {' and '.join(CHECKS)}; got {kind!r} in {path}."
        )
    rule = "Ray's own schema holds"
    faults = {rule: tuple(schema_faults(config))}
    if kind == "local":  # of which Ray would say that it is missing, and not what is there instead
        faults[rule] += tuple(at_hand.provider_keys(config["provider"]))
    if not faults[rule]:
        complete = effective(config)
        faults |= {name: tuple(check(complete)) for name, check in CHECKS[kind].items()}
    return Report(
        checked=tuple(faults),
        faults={name: found for name, found in faults.items() if found},
        blanks=tuple(dict.fromkeys(_PLACEHOLDER.findall(data.decode(errors="replace")))),
        absent=tuple(_absent(config.get("file_mounts"))),
    )


def _provider_type(config: object, path: str | Path) -> object:
    provider = config.get("provider") if isinstance(config, dict) else None
    if not isinstance(provider, dict):
        raise TuneJobsError(
            f"A cluster file must be a mapping that has a mapping called provider; {path} has none."
        )
    return provider.get("type")


def _absent(file_mounts: object) -> Iterator[str]:
    for path in file_mounts.values() if isinstance(file_mounts, dict) else ():
        if isinstance(path, str) and not Path(path).expanduser().exists():
            yield path
