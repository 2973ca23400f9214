"""The commands of the cluster's documents exist, and what they hand out is what tools expect."""

import argparse
import json
import re
import shlex
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore import xform_name
from ray.scripts.scripts import cli as ray_cli

import analysis.cli
import stir.cli
import tune_jobs.cli
from tune_jobs.cluster.check.versions import local_versions, same_versions

ROOT = Path(__file__).parent.parent
DOCUMENT = "".join((ROOT / "docs" / name).read_text() for name in ("cluster.md", "submit.md"))
OURS = {"stir": stir.cli, "tune-jobs": tune_jobs.cli, "stir-analysis": analysis.cli}
AWS_SERVICES = {"s3api": "s3"}  # where the command line has another name
AWS_GLOBAL = {"query", "output"}
AWS_SHORT = {"protocol", "port", "cidr", "source-group"}  # of authorize-security-group-ingress
# The fields of ray.io/v1 as KubeRay publishes them (1.6), and those of Kubernetes' pods in use.
FIELDS = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {
        *("entrypoint", "submissionMode", "backoffLimit", "shutdownAfterJobFinishes"),
        *("ttlSecondsAfterFinished", "rayClusterSpec", "activeDeadlineSeconds", "runtimeEnvYAML"),
        *("submitterPodTemplate", "metadata", "clusterSelector", "submitterConfig", "managedBy"),
        *("deletionStrategy", "jobId", "entrypointResources", "entrypointNumCpus", "suspend"),
        *("entrypointNumGpus",),
    },
    "rayClusterSpec": {
        *("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions"),
        *("headGroupSpec", "workerGroupSpecs", "suspend", "managedBy", "headServiceAnnotations"),
        *("gcsFaultToleranceOptions",),
    },
    "authOptions": {"mode", "secretName", "enableK8sTokenAuth"},
    "autoscalerOptions": {
        *("resources", "image", "imagePullPolicy", "securityContext", "idleTimeoutSeconds"),
        *("upscalingMode", "version", "env", "envFrom", "volumeMounts"),
    },
    "headGroupSpec": {
        *("template", "headService", "enableIngress", "rayStartParams", "serviceType"),
    },
    "workerGroupSpecs": {
        *("groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams"),
        *("template", "scaleStrategy", "suspend", "idleTimeoutSeconds"),
    },
    "template": {"metadata", "spec"},
    "template.spec": {
        *("containers", "serviceAccountName", "terminationGracePeriodSeconds", "nodeSelector"),
        *("tolerations", "volumes", "affinity", "initContainers"),
    },
    "containers": {
        *("name", "image", "env", "resources", "ports", "volumeMounts", "lifecycle", "command"),
    },
    "env": {"name", "value", "valueFrom"},
    "valueFrom": {"secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef"},
    "secretKeyRef": {"name", "key", "optional"},
    "resources": {"requests", "limits"},
}
FREE = {"metadata", "rayStartParams", "requests", "limits"}  # mappings with keys of one's own


def commands(program: str) -> list[str]:
    """The command lines of the documents' code blocks that begin with a program, also in $(...)."""
    blocks = re.findall(r"^ *```(?:bash.*)?\n(.*?)^ *```", DOCUMENT, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines = [re.sub(r"^[A-Z]+=\$\((.*)\)$", r"\1", line) for line in lines]
    lines = [re.sub(r" *&? *(?: #.*)?$", "", line) for line in lines]
    return [line for line in lines if line.split()[:1] == [program]]


@pytest.mark.parametrize("line", [line for name in OURS for line in commands(name)])
def test_a_command_of_ours_is_accepted(line: str):
    program, *words = shlex.split(line)
    parser: argparse.ArgumentParser = OURS[program]._parser()
    assert parser.parse_args(words)


@pytest.mark.parametrize("line", commands("ray"))
def test_a_command_of_ray_is_one(line: str):
    _, name, *words = shlex.split(line)
    command = ray_cli.commands[name]
    command.make_context(name, words)


@pytest.mark.parametrize("line", commands("aws"))
def test_a_command_of_aws_is_one(line: str):
    _, service, operation, *words = shlex.split(re.sub(r"\$\(.*?\)", "x", line))
    model = botocore.session.get_session().get_service_model(AWS_SERVICES.get(service, service))
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in names
    shape = model.operation_model(names[operation]).input_shape
    known = {xform_name(name, "-") for name in shape.members} | AWS_GLOBAL
    if operation == "authorize-security-group-ingress":
        known |= AWS_SHORT
    options = {word[2:] for word in words if word.startswith("--")}
    assert options <= known
    required = {xform_name(name, "-") for name in shape.required_members}
    assert required <= options


def test_the_documents_have_commands_of_every_kind():
    counts = {name: len(commands(name)) for name in [*OURS, "ray", "aws"]}
    assert all(count >= 1 for count in counts.values()), counts
    assert counts["aws"] >= 14


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").glob("*.json")), ids=lambda p: p.name)
def test_a_policy_allows_no_more_than_named_actions_on_named_things(path: Path):
    statements = json.loads(path.read_text())["Statement"]
    ec2 = botocore.session.get_session().get_service_model("ec2").operation_names
    for statement in statements:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            service, _, name = action.partition(":")
            assert "*" not in action
            assert service in ("ec2", "iam", "s3", "sts")
            assert service != "ec2" or name in ec2
            if statement.get("Resource") == "*":
                assert name.startswith("Describe")


def test_workers_may_do_nothing_but_use_the_bucket():
    statements = json.loads((ROOT / "deploy" / "worker-policy.json").read_text())["Statement"]
    for statement in statements:
        assert all(action.startswith("s3:") for action in statement["Action"])
        assert statement["Resource"].removesuffix("/*") == "arn:aws:s3:::YOUR-BUCKET"


def test_the_head_gives_away_the_role_that_the_cluster_file_names():
    types = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    profiles = {
        node_type["node_config"]["IamInstanceProfile"]["Name"]
        for name, node_type in types.items()
        if name != "head"
    }
    policy = (ROOT / "deploy" / "head-policy.json").read_text()
    assert re.findall(r":role/([\w-]+)", policy) == sorted(profiles)


def strange(content: object, kind: str, where: str = "") -> list[str]:
    """The fields of a manifest that are not published for where they stand."""
    if isinstance(content, list):
        return [name for item in content for name in strange(item, kind, where)]
    if not isinstance(content, dict) or kind in FREE:
        return []
    wrong = [f"{where}.{key}" for key in content if key not in FIELDS[kind]]
    for key, value in content.items():
        inner = "template.spec" if (kind, key) == ("template", "spec") else key
        if inner in FIELDS or inner in FREE or not isinstance(value, dict | list):
            wrong += strange(value, inner, f"{where}.{key}")
        else:
            wrong.append(f"{where}.{key}")
    return wrong


def rayjob() -> dict:
    return yaml.safe_load((ROOT / "docs" / "rayjob.yaml").read_text())


def test_the_rayjob_has_only_fields_that_kuberay_publishes():
    assert strange(rayjob(), "") == []


def test_a_misspelt_field_of_a_rayjob_would_be_noticed():
    job = rayjob()
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 1
    assert strange(job, "") == [".spec.rayClusterSpec.workerGroupSpecs.maxReplica"]


def test_the_rayjob_asks_for_the_token_and_holds_no_secret():
    spec = rayjob()["spec"]["rayClusterSpec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "stir-ray-token"}
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        (container,) = group["template"]["spec"]["containers"]
        for variable in container["env"]:
            assert ("KEY" in variable["name"]) == ("secretKeyRef" in variable.get("valueFrom", {}))


def test_the_rayjob_runs_the_image_and_a_command_of_ours():
    job = rayjob()
    spec = job["spec"]["rayClusterSpec"]
    image = spec["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]
    assert list(same_versions({"docker": {"image": image}})) == []
    assert spec["rayVersion"] == local_versions()["ray"]
    script = shlex.split(job["spec"]["entrypoint"])[-1]
    for line in script.split("&&"):
        program, *words = shlex.split(line.strip().removeprefix("exec "))
        assert OURS[program]._parser().parse_args(words)


def test_the_dockerfile_brings_the_versions_that_its_tag_names():
    text = (ROOT / "Dockerfile").read_text()
    versions = local_versions()
    base = f"FROM rayproject/ray:{versions['ray']}-py{versions['python'].replace('.', '')}-cpu\n"
    assert base in text
    assert "--constraint constraints.txt" in text
