"""Who may reach a cluster's machines and what they may do: ports, profiles, tokens, secrets."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tune_jobs.cluster.check.nodes import head_path, node_types, part, parts

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
ANYWHERE = {"0.0.0.0/0", "::/0"}
_DASHBOARD = re.compile(r"--dashboard-host[= ]+(\S+)")
_TOKEN_MODE = re.compile(r"\bRAY_AUTH_MODE=[\"']?token\b")
_SECRETS = {
    "an AWS key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|aws_secret_access_key", re.IGNORECASE),
    "Ray's token": re.compile(r"\bRAY_AUTH_TOKEN=\S"),
}


def closed_ports(config: Mapping[str, Any]) -> Iterator[str]:
    """Machines whose ports are open to every address."""
    for rule in parts(part(config, "provider", "security_group"), "IpPermissions"):
        sources = [str(entry.get("CidrIp")) for entry in parts(rule, "IpRanges")]
        sources += [str(entry.get("CidrIpv6")) for entry in parts(rule, "Ipv6Ranges")]
        for source in sources:
            if source in ANYWHERE:
                yield (
                    "provider.security_group must open no port to every address; "
                    f"port {rule.get('FromPort', 'any')} is open to {source}. "
                    "Name your own address, such as 203.0.113.7/32."
                )
    for where, node_config in node_types(config):
        interfaces = parts(node_config, "NetworkInterfaces")
        if not node_config.get("SecurityGroupIds") and not all(
            interface.get("Groups") for interface in interfaces or [{}]
        ):
            yield (
                f"{where} must have SecurityGroupIds; without them Ray makes a group that opens "
                "SSH to the whole world. docs/cluster.md says how to make one."
            )


def instance_profiles(config: Mapping[str, Any]) -> Iterator[str]:
    """Machines without rights of their own, or workers with those of the head."""
    head = head_path(config)
    heads = dict(node_types(config))[head].get("IamInstanceProfile")
    for where, node_config in node_types(config):
        profile = node_config.get("IamInstanceProfile")
        if not profile:
            outcome = (
                "Ray gives the head all rights on EC2 and S3"
                if where == head
                else "a worker cannot reach the bucket"
            )
            yield (
                f"{where} must have an IamInstanceProfile; without one {outcome}. "
                "docs/cluster.md says how to make both."
            )
        elif where != head and profile == heads:
            yield (
                "A worker must not have the head's rights, to launch machines; "
                f"{where}.IamInstanceProfile is the head's. Give it one for the bucket alone."
            )


def instance_metadata(config: Mapping[str, Any]) -> Iterator[str]:
    """Machines that give out their keys to any request (IMDSv1)."""
    for where, node_config in node_types(config):
        options = part(node_config, "MetadataOptions")
        if options.get("HttpTokens") != "required":
            yield (
                f"{where}.MetadataOptions.HttpTokens must be required, so that a request that is "
                f"passed on gets no keys; got {options.get('HttpTokens', 'nothing')}."
            )


def local_dashboard(config: Mapping[str, Any]) -> Iterator[str]:
    """A dashboard, which starts any command, on more than the head's own address."""
    for command in config["head_start_ray_commands"]:
        for host in _DASHBOARD.findall(command):
            if host.strip("\"'") not in LOOPBACK:
                yield (
                    "The dashboard must listen on 127.0.0.1, because it starts any command; "
                    f"head_start_ray_commands say --dashboard-host={host}. "
                    "`ray dashboard cluster.yaml` makes a tunnel to it."
                )


def token_mode(config: Mapping[str, Any]) -> Iterator[str]:
    """A Ray that takes commands from any client, or one without the token that it asks for."""
    docker = part(config, "docker")
    for kind in ("head", "worker"):
        options = [*docker.get("run_options", []), *docker.get(f"{kind}_run_options", [])]
        options = list(map(str, options))
        starts = [line for line in config[f"{kind}_start_ray_commands"] if "ray start" in line]
        in_image = bool(docker.get("image")) and any(map(_TOKEN_MODE.search, options))
        if not in_image and not all(map(_TOKEN_MODE.search, starts)):
            yield (
                f"Ray must start with RAY_AUTH_MODE=token on every {kind}, or it takes "
                "commands from any client; nothing sets it. "
                "Add --env=RAY_AUTH_MODE=token to docker.run_options, or set it before `ray start`."
            )
    if not any(str(remote).endswith("auth_token") for remote in config["file_mounts"]):
        yield (
            "file_mounts must bring Ray's token to every machine; none is called auth_token. "
            "Make one with `ray get-auth-token --generate` and mount ~/.ray/auth_token."
        )


def no_secrets(config: Mapping[str, Any]) -> Iterator[str]:
    """Keys and tokens in a file that is kept and shared."""
    text = json.dumps(config, default=str)
    for kind, pattern in _SECRETS.items():
        if pattern.search(text):
            yield (
                f"A cluster file must hold no secret; it has {kind}. "
                "Machines get their rights from instance profiles, and the token from a file."
            )
