"""The JSON files of ``deploy/``, for those who make roles by hand: what the stack makes of them.

``python -m lab.policy_files`` writes them again after a change of the stack.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from lab.policies import ACCOUNT, REGION

FILES: Mapping[str, tuple[str, tuple[str, ...]]] = {  # file: role, its policies
    "head-policy.json": ("stir-head", ("bucket", "machines")),
    "worker-policy.json": ("stir-worker", ("bucket",)),
}


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
