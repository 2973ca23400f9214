"""What AWS would answer to a request, by the rules of its policies; those of ``deploy/`` as JSON.

moto enforces policies by action, and on S3 by bucket, but looks at no condition and at no resource
of EC2's; this does, for the operators and keys that our policies use. The JSON files, for those who
make roles by hand, are written again after a change of the stack by ``python -m lab.aws.policies``.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

ACCOUNT, REGION = "123456789012", "us-east-1"
FILES: Mapping[str, tuple[str, tuple[str, ...]]] = {  # file: role, its policies
    "head-policy.json": ("stir-head", ("bucket", "machines")),
    "worker-policy.json": ("stir-worker", ("bucket",)),
}


@dataclass(frozen=True, slots=True)
class Request:
    """An action on a resource, with the keys that conditions may ask about."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def allowed(documents: Iterable[Mapping[str, Any]], request: Request) -> bool:
    """Whether some statement allows a request and none denies it; without a statement: no."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in _list(document["Statement"])
        if _applies(statement, request)
    }
    return effects == {"Allow"}


def launch(
    *, kind: str, cluster: str, role: str, group: str, region: str = REGION
) -> list[Request]:
    """All that RunInstances asks for when it launches a machine of a kind, as EC2 documents it."""
    own = f"arn:aws:ec2:{region}:{ACCOUNT}"
    context = {"ec2:InstanceType": kind, "aws:RequestTag/ray-cluster-name": cluster}
    parts = [
        f"arn:aws:ec2:{region}::image/ami-1",
        f"{own}:key-pair/{cluster}-1",
        f"{own}:network-interface/eni-1",
        f"{own}:security-group/{group}",
        f"{own}:subnet/subnet-1",
        f"{own}:volume/vol-1",
        f"{own}:spot-instances-request/sir-1",
    ]
    requests = [Request("ec2:RunInstances", part, context) for part in parts]
    machine = Request("ec2:RunInstances", f"{own}:instance/i-1", context)
    tagged = replace(machine, action="ec2:CreateTags", context={"ec2:CreateAction": "RunInstances"})
    given = {"iam:PassedToService": "ec2.amazonaws.com"}
    passed = Request("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{role}", given)
    return [*requests, machine, tagged, passed]


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    if unknown := set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition"}:
        raise ValueError(f"A statement of ours has no {min(unknown)}.")
    return (
        any(fnmatchcase(request.action.lower(), one.lower()) for one in _list(statement["Action"]))
        and any(fnmatchcase(request.resource, one) for one in _list(statement["Resource"]))
        and all(
            _holds(operator, wanted, request.context)
            for operator, wanted in statement.get("Condition", {}).items()
        )
    )


def _holds(operator: str, wanted: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    if operator != "StringEquals":
        raise ValueError(f"A condition of ours is StringEquals; got {operator}.")
    return all(context.get(key) in _list(values) for key, values in wanted.items())


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def policy_files(client: Callable[[str], Any]) -> dict[str, str]:
    """The text of each file, from an account of moto's that has the stack ``stir``."""
    iam = client("iam")
    outputs = client("cloudformation").describe_stacks(StackName="stir")["Stacks"][0]["Outputs"]
    made = {one["OutputKey"]: one["OutputValue"] for one in outputs}
    blanks = {
        made["BucketName"]: "YOUR-BUCKET",
        made["GroupId"]: "sg-00000000000000000",
        f":{REGION}:": ":*:",
        f":{ACCOUNT}:": ":*:",
    }
    texts = {}
    for file, (role, names) in FILES.items():
        statements = [
            statement
            for name in names
            for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"][
                "Statement"
            ]
        ]
        text = json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)
        for old, new in blanks.items():
            text = text.replace(old, new)
        texts[file] = text + "\n"
    return texts


def _write() -> None:
    import boto3
    from moto import mock_aws

    from lab.machines import ROOT
    from tune_jobs.cluster.setup.account import Account
    from tune_jobs.cluster.setup.market import default_network
    from tune_jobs.cluster.setup.stack import deploy_stack

    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    with mock_aws():
        boto3.setup_default_session(region_name=REGION, **keys)
        account = Account(REGION)
        parameters = {
            "Name": "stir",
            "Vpc": default_network(account),
            "FromAddress": "203.0.113.7/32",
            "MachineTypes": "m7i.large,c7i.4xlarge,g6.2xlarge",
        }
        deploy_stack(account, "stir", parameters, lambda line: None)
        for name, text in policy_files(boto3.client).items():
            (ROOT / "deploy" / name).write_text(text)


if __name__ == "__main__":
    _write()
