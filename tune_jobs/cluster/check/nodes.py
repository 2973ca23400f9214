"""Checks of a cluster file's machines, against EC2's own description of a launch."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean

# What Ray 2.60 reads of `provider` for AWS; its schema lets any other key pass.
PROVIDER_KEYS = (
    "type",
    "region",
    "availability_zone",
    "cache_stopped_nodes",
    "use_internal_ips",
    "use_external_head_ip",
    "security_group",
    "key_pair",
    "aws_credentials",
    "cloudwatch",
    "disable_node_updaters",
    "disable_launch_config_check",
    "foreground_node_launch",
    "worker_liveness_check",
)
RAYS_OWN_KEYS = {"SubnetIds"}  # Ray picks one of them, as SubnetId
_PYTHON_TYPES = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "list": list,
    "structure": dict,
}


def node_types(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each kind of machine: the path of its node_config, and that itself."""
    for name, node_type in config["available_node_types"].items():
        yield f"available_node_types.{name}.node_config", node_type["node_config"]


def part(content: object, *keys: str) -> Mapping[str, Any]:
    """The mapping inside mappings under some keys; empty where something else is."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def parts(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The mappings in a list under a key; none where something else is."""
    found = content.get(key)
    return [part(item) for item in found] if isinstance(found, list) else []


def head_path(config: Mapping[str, Any]) -> str:
    return f"available_node_types.{config['head_node_type']}.node_config"


def provider_keys(config: Mapping[str, Any]) -> Iterator[str]:
    """Misspelt keys of ``provider``, and a region that AWS does not have."""
    provider = config["provider"]
    for key in provider:
        if key not in PROVIDER_KEYS:
            yield f"provider has no key {key!r}.{did_you_mean(key, PROVIDER_KEYS)}"
    regions = _session().get_available_regions("ec2")
    if provider.get("region") not in regions:
        yield (
            "provider.region must be a region of AWS; "
            f"got {provider.get('region')!r}.{did_you_mean(provider.get('region'), regions)}"
        )


def launch_keys(config: Mapping[str, Any]) -> Iterator[str]:
    """Keys, kinds of values and choices that EC2's RunInstances does not know."""
    launch = _session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for where, node_config in node_types(config):
        own = {key: value for key, value in node_config.items() if key not in RAYS_OWN_KEYS}
        yield from _faults(own, launch, where)
        if "InstanceType" not in own:
            yield f"{where} must have an InstanceType, such as g6.2xlarge; it has none."


def head_node(config: Mapping[str, Any]) -> Iterator[str]:
    """A head that AWS may take back, or that would run trials beside the driver."""
    name = config["head_node_type"]
    head = config["available_node_types"][name]
    if "InstanceMarketOptions" in head["node_config"]:
        yield (
            "The head must be an on-demand machine, because the driver runs there; "
            f"{head_path(config)} has InstanceMarketOptions. Leave them out."
        )
    cpus = head["resources"].get("CPU")
    if cpus != 0:
        yield (
            "The head must offer no CPU, so that no trial slows the driver; "
            f"available_node_types.{name}.resources.CPU is {cpus!r}. Write CPU: 0."
        )


def ended_nodes(config: Mapping[str, Any]) -> Iterator[str]:
    """Machines that go on costing, and spot machines sought in one zone only."""
    provider = config["provider"]
    if provider.get("cache_stopped_nodes", True) is not False:
        came = provider.get("cache_stopped_nodes", "nothing, which Ray takes for true")
        yield (
            "provider.cache_stopped_nodes must be false, because a stopped machine's disk goes on "
            f"costing and a spot machine cannot be stopped; got {came}."
        )
    zones = str(provider.get("availability_zone") or "").split(",")
    if zones != [""] and len(zones) == 1:
        yield (
            "Spot machines must be sought in several zones; provider.availability_zone is "
            f"{zones[0]!r} alone. Leave it out for all zones of the region."
        )
    for where, node_config in node_types(config):
        options = part(node_config, "InstanceMarketOptions", "SpotOptions")
        behaviour = options.get("InstanceInterruptionBehavior", "terminate")
        if behaviour != "terminate" or options.get("SpotInstanceType") == "persistent":
            yield (
                "A spot machine that is taken back must be ended, since Ray launches another; "
                f"{where}.InstanceMarketOptions asks to keep it. "
                "Write SpotInstanceType: one-time, InstanceInterruptionBehavior: terminate."
            )


def _faults(value: object, shape: Any, where: str) -> Iterator[str]:
    """What is wrong with a value, by botocore's description of its shape."""
    wanted = _PYTHON_TYPES.get(shape.type_name)
    if wanted and (not isinstance(value, wanted) or (wanted is int and value in (True, False))):
        yield f"{where} must be a {shape.type_name}; got {value!r:.60}."
    elif isinstance(value, dict):
        for key, content in value.items():
            if key in shape.members:
                yield from _faults(content, shape.members[key], f"{where}.{key}")
            else:
                yield f"{where} has no key {key!r:.60}.{did_you_mean(key, shape.members)}"
    elif isinstance(value, list):
        for number, content in enumerate(value):
            yield from _faults(content, shape.member, f"{where}[{number}]")
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield (
            f"{where} must be one that botocore {_version()} knows; "
            f"got {value!r:.60}.{_few(value, shape.enum)}"
        )


def _few(value: object, known: list[str]) -> str:
    """A hint, without the thousand names of a long list."""
    hint = did_you_mean(value, known)
    return hint if len(known) < 30 else hint.partition(" Known:")[0]


def _version() -> str:
    import botocore

    return botocore.__version__


@cache
def _session() -> Any:
    try:
        import botocore.session
    except ModuleNotFoundError:
        raise TuneJobsError(
            "cluster-check needs boto3, which knows EC2's keys; it is not installed. "
            "Install it with: pip install -c constraints.txt -e '.[all,aws]'"
        ) from None
    return botocore.session.get_session()
