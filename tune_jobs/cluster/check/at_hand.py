"""Checks of a cluster file for machines that one has, which SSH reaches."""

from collections.abc import Iterator, Mapping
from typing import Any

from tune_jobs.cluster.setup.cluster_file import started_storage
from tune_jobs.names import did_you_mean

# What Ray 2.60 reads of `provider` for machines at hand; its schema lets any other key pass.
PROVIDER_KEYS = ("type", "head_ip", "worker_ips", "external_head_ip")


def provider_keys(provider: Mapping[str, Any]) -> Iterator[str]:
    """Misspelt keys of ``provider``, and those that are missing."""
    for key in provider:
        if key not in PROVIDER_KEYS:
            yield f"provider has no key {key!r}.{did_you_mean(key, PROVIDER_KEYS)}"
    for key in ("head_ip", "worker_ips"):
        if key not in provider:
            yield f"provider must have head_ip and worker_ips, a list; it has no {key}."


def machines(config: Mapping[str, Any]) -> Iterator[str]:
    """A machine that is named twice."""
    provider = config["provider"]
    named = list(map(str, (provider["head_ip"], *provider["worker_ips"])))
    for machine in dict.fromkeys(named):
        if named.count(machine) > 1:
            yield (
                "provider must name each machine once, the head not among the workers; "
                f"{machine} is there {named.count(machine)} times."
            )


def workers_in_use(config: Mapping[str, Any]) -> Iterator[str]:
    """Machines that are named and never started, or fewer named than are asked for."""
    (node_type,) = config["available_node_types"].values()
    count = len(config["provider"]["worker_ips"])
    if node_type["max_workers"] != count or node_type["min_workers"] != count:
        yield (
            "min_workers and max_workers must be the number of provider.worker_ips, so that all "
            f"are used; they are {node_type['min_workers']} and {node_type['max_workers']} of "
            f"{count}."
        )


def one_storage(config: Mapping[str, Any]) -> Iterator[str]:
    """Machines that are told of no storage, or not all of the same."""
    head, worker = (
        started_storage(config[f"{kind}_start_ray_commands"]) for kind in ("head", "worker")
    )
    if not head or head != worker:
        yield (
            "Every machine must start with the same TUNE_JOBS_STORAGE; head_start_ray_commands "
            f"have {head or 'none'}, worker_start_ray_commands {worker or 'none'}."
        )
