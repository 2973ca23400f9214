"""The stack: what it makes, and what its policies allow and forbid."""

import json
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.core.authorization import enable_iam_authentication

from lab.aws.policies import ACCOUNT, FILES, REGION, Request, allowed, launch, policy_files

ROOT = Path(__file__).parents[4]
BUCKET = f"stir-{ACCOUNT}-{REGION}"
KINDS = ("m7i.large", "c7i.4xlarge", "g6.2xlarge")


def documents(account, role: str) -> list[dict]:
    """The policies of a role, as they are in the account."""
    iam = account("iam")
    return [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]


def group(account) -> str:
    outputs = account("cloudformation").describe_stacks(StackName="stir")["Stacks"][0]["Outputs"]
    return next(one["OutputValue"] for one in outputs if one["OutputKey"] == "GroupId")


def test_cfn_lint_finds_nothing():
    from cfnlint.api import lint_file

    assert [str(match) for match in lint_file(ROOT / "deploy" / "stack.yaml")] == []


def test_the_bucket_is_private_encrypted_and_forgets_old_checkpoints():
    from cfnlint.decode import cfn_yaml

    resources = cfn_yaml.load(str(ROOT / "deploy" / "stack.yaml"))["Resources"]
    bucket = resources["Bucket"]["Properties"]
    assert resources["Bucket"]["DeletionPolicy"] == "Retain"
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert "ServerSideEncryptionConfiguration" in bucket["BucketEncryption"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert [rule.get("Prefix") for rule in rules if "ExpirationInDays" in rule] == [
        "stir/checkpoints/"
    ]
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    (statement,) = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_head_launches_the_machines_of_its_cluster_file(made):
    policies, where = documents(made, "stir-head"), group(made)
    for kind in KINDS[1:]:
        asked = launch(kind=kind, cluster="stir", role="stir-worker", group=where)
        assert all(allowed(policies, request) for request in asked)
    ended = {"aws:ResourceTag/ray-cluster-name": "stir"}
    machine = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1"
    assert allowed(policies, Request("ec2:TerminateInstances", machine, ended))


WRONG_LAUNCHES = {
    "another kind": {"kind": "p5.48xlarge"},
    "another cluster's": {"cluster": "other"},
    "with the head's role": {"role": "stir-head"},
    "with an administrator's role": {"role": "admin"},
    "in another security group": {"group": "sg-0123456789abcdef0"},
    "in another region": {"region": "eu-west-1"},
}


@pytest.mark.parametrize("wrong", WRONG_LAUNCHES)
def test_the_head_launches_no_other_machine(wrong: str, made):
    right = {"kind": KINDS[1], "cluster": "stir", "role": "stir-worker", "group": group(made)}
    asked = launch(**right | WRONG_LAUNCHES[wrong])
    policies = documents(made, "stir-head")
    assert not all(allowed(policies, request) for request in asked)


def test_the_head_ends_no_machine_but_its_clusters_and_tags_none(made):
    policies = documents(made, "stir-head")
    machine = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1"
    for context in ({}, {"aws:ResourceTag/ray-cluster-name": "other"}):
        for action in ("ec2:TerminateInstances", "ec2:CreateTags"):
            assert not allowed(policies, Request(action, machine, context))


def test_a_role_is_given_to_machines_alone(made):
    role = f"arn:aws:iam::{ACCOUNT}:role/stir-worker"
    for service in ("lambda.amazonaws.com", "ecs-tasks.amazonaws.com"):
        asked = Request("iam:PassRole", role, {"iam:PassedToService": service})
        assert not allowed(documents(made, "stir-head"), asked)


@pytest.fixture
def as_role(made):
    """Clients with the rights of a role, in a moto that enforces policies from now on."""
    made("s3").put_object(Bucket=BUCKET, Key="stir/a", Body=b"a")
    made("s3").create_bucket(Bucket="another")
    made("s3").put_object(Bucket="another", Key="a", Body=b"a")
    arns = {role["RoleName"]: role["Arn"] for role in made("iam").list_roles()["Roles"]}
    keys = {
        role: made("sts").assume_role(RoleArn=arns[role], RoleSessionName="test")["Credentials"]
        for role in ("stir-head", "stir-worker")
    }

    def client(role: str, service: str):
        return boto3.client(
            service,
            aws_access_key_id=keys[role]["AccessKeyId"],
            aws_secret_access_key=keys[role]["SecretAccessKey"],
            aws_session_token=keys[role]["SessionToken"],
        )

    with enable_iam_authentication():
        yield client


FORBIDDEN = {  # to both roles: service, operation, arguments
    "read another bucket": ("s3", "get_object", {"Bucket": "another", "Key": "a"}),
    "write another bucket": ("s3", "put_object", {"Bucket": "another", "Key": "b", "Body": b""}),
    "list another bucket": ("s3", "list_objects_v2", {"Bucket": "another"}),
    "remove its bucket": ("s3", "delete_bucket", {"Bucket": BUCKET}),
    "open its bucket": ("s3", "delete_public_access_block", {"Bucket": BUCKET}),
    "change who may use it": ("s3", "put_bucket_policy", {"Bucket": BUCKET, "Policy": "{}"}),
    "see all buckets": ("s3", "list_buckets", {}),
    "make a user": ("iam", "create_user", {"UserName": "me"}),
    "make a key": ("iam", "create_access_key", {"UserName": "me"}),
    "give a role more rights": (
        "iam",
        "attach_role_policy",
        {"RoleName": "stir-head", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
    ),
    "open a port": (
        "ec2",
        "authorize_security_group_ingress",
        {"GroupId": "sg-1", "IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIp": "0.0.0.0/0"},
    ),
    "take a key pair": ("ec2", "create_key_pair", {"KeyName": "mine"}),
    "change the stack": ("cloudformation", "delete_stack", {"StackName": "stir"}),
}
ALLOWED = {
    "stir-worker": ("s3", "get_object", {"Bucket": BUCKET, "Key": "stir/a"}),
    "stir-head": ("ec2", "describe_instances", {}),
}


@pytest.mark.parametrize("role", ALLOWED)
def test_a_role_does_what_it_is_for_and_nothing_else(role: str, as_role):
    service, operation, arguments = ALLOWED[role]
    assert getattr(as_role(role, service), operation)(**arguments)
    s3 = as_role(role, "s3")
    assert s3.get_object(Bucket=BUCKET, Key="stir/a")["Body"].read() == b"a"
    s3.put_object(Bucket=BUCKET, Key="stir/b", Body=b"b")
    refused = []
    for what, (service, operation, arguments) in FORBIDDEN.items():
        with pytest.raises(ClientError) as error:
            getattr(as_role(role, service), operation)(**arguments)
        if error.value.response["Error"]["Code"].startswith(("AccessDenied", "Unauth")):
            refused.append(what)
    assert refused == list(FORBIDDEN)


def test_a_worker_launches_and_ends_nothing(as_role):
    ec2 = as_role("stir-worker", "ec2")
    for call in (
        lambda: ec2.describe_instances(),
        lambda: ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1),
        lambda: ec2.terminate_instances(InstanceIds=["i-1"]),
    ):
        with pytest.raises(ClientError, match="not authorized"):
            call()


def test_json_of_the_policies_is_what_the_stack_makes(made):
    written = {name: json.loads((ROOT / "deploy" / name).read_text()) for name in FILES}
    assert written == {name: json.loads(text) for name, text in policy_files(made).items()}
