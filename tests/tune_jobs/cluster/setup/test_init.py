"""``tune-jobs cluster-init`` and ``cluster-destroy`` in an empty account of moto's."""

import http.server
import threading
from pathlib import Path

import pytest
import yaml
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tune_jobs.cli import main
from tune_jobs.cluster.check import check_cluster
from tune_jobs.cluster.setup import market, stack
from tune_jobs.cluster.setup.stack import Stack

HERE = ("--from-address", "203.0.113.7", "--yes")
SHIPPED = Path(__file__).parents[4] / "cluster.yaml"
BUCKET = "stir-123456789012-us-east-1"
IMAGE = "ami-03cf127a"  # one that moto has


def left(account) -> dict[str, list[str]]:
    """Everything in an account that can be left over."""
    ec2, iam = account("ec2"), account("iam")
    groups = [group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]]
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    found = {
        "buckets": [bucket["Name"] for bucket in account("s3").list_buckets()["Buckets"]],
        "groups": [name for name in groups if name != "default"],
        "roles": [name for name in roles if not name.startswith("AWSServiceRole")],
        "profiles": [
            profile["InstanceProfileName"]
            for profile in iam.list_instance_profiles()["InstanceProfiles"]
        ],
        "policies": [one["PolicyName"] for one in iam.list_policies(Scope="Local")["Policies"]],
        "pairs": [pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]],
    }
    return {what: sorted(names) for what, names in found.items()}


def test_an_empty_account_gets_a_cluster_file_with_nothing_left_to_fill_in(account, capsys):
    assert main(["cluster-init", *HERE]) == 0
    out = capsys.readouterr().out
    assert "ray up cluster.yaml" in out
    report = check_cluster("cluster.yaml")
    assert (report.faults, report.blanks, report.absent) == ({}, (), ())
    there = left(account)
    assert there["roles"] == there["profiles"] == ["stir-head", "stir-worker"]
    assert there["buckets"] == [BUCKET]
    written = yaml.safe_load(Path("cluster.yaml").read_text())
    assert written["docker"]["run_options"][0].endswith(f"s3://{BUCKET}/stir")
    config = written["available_node_types"]["head"]["node_config"]
    assert [config["KeyName"]] == there["pairs"]
    group = account("ec2").describe_security_groups(GroupIds=config["SecurityGroupIds"])
    ssh, within = group["SecurityGroups"][0]["IpPermissions"]
    assert ([one["CidrIp"] for one in ssh["IpRanges"]], ssh["ToPort"]) == (["203.0.113.7/32"], 22)
    assert [one["GroupId"] for one in within["UserIdGroupPairs"]] == config["SecurityGroupIds"]
    for path in (Path("~/.ray/auth_token"), Path("~/.stir/stir/ssh-key")):
        assert path.expanduser().stat().st_mode & 0o077 == 0


def test_every_comment_of_the_shipped_file_is_kept(account):
    assert main(["cluster-init", *HERE]) == 0
    shipped, written = (
        [line.partition("#")[2] for line in path.read_text().splitlines() if "#" in line]
        for path in (SHIPPED, Path("cluster.yaml"))
    )
    assert written == shipped


def test_a_second_time_changes_nothing_and_keeps_what_the_user_has_changed(account):
    assert main(["cluster-init", *HERE]) == 0
    path, there = Path("cluster.yaml"), left(account)
    changed = path.read_text().replace("&cpu_spot_workers 16", "&cpu_spot_workers 3  # mine")
    path.write_text(changed)
    assert main(["cluster-init", *HERE]) == 0
    assert path.read_text() == changed
    assert left(account) == there


def test_what_is_destroyed_leaves_the_bucket_with_its_results_and_names_it(account, capsys):
    assert main(["cluster-init", *HERE]) == 0
    account("s3").put_object(Bucket=BUCKET, Key="stir/records/a.json", Body=b"result")
    assert main(["cluster-destroy", "--yes"]) == 0
    assert f"stays: bucket {BUCKET}: 1 object," in capsys.readouterr().out
    there = left(account)
    assert [what for what in there if there[what]] == ["buckets"]
    assert there["buckets"] == [BUCKET]
    assert not Path("~/.stir/stir").expanduser().exists()
    assert main(["cluster-init", *HERE]) == 0  # and the bucket serves again
    assert left(account)["buckets"] == [BUCKET]
    assert account("s3").get_object(Bucket=BUCKET, Key="stir/records/a.json")["Body"].read()


def test_a_bucket_goes_only_when_that_is_asked_for(account):
    assert main(["cluster-init", *HERE]) == 0
    account("s3").put_object(Bucket=BUCKET, Key="stir/records/a.json", Body=b"result")
    assert main(["cluster-destroy", "--with-bucket", "--yes"]) == 0
    assert left(account)["buckets"] == []


def test_nothing_is_destroyed_while_machines_are_on(account, capsys):
    assert main(["cluster-init", *HERE]) == 0
    tags = [{"Key": "ray-cluster-name", "Value": "stir"}]
    account("ec2").run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    there = left(account)
    assert main(["cluster-destroy", "--yes"]) == 2
    assert "`ray down` with its file ends them" in capsys.readouterr().err
    assert left(account) == there


def test_two_clusters_fit_in_one_account(account):
    assert main(["cluster-init", *HERE]) == 0
    assert main(["cluster-init", *HERE, "--name", "other", "--out", "other.yaml"]) == 0
    assert len(left(account)["roles"]) == 4
    assert check_cluster("other.yaml").blanks == ()
    assert main(["cluster-destroy", "--name", "other", "--yes"]) == 0
    assert left(account)["roles"] == ["stir-head", "stir-worker"]


@pytest.mark.parametrize("words", [(), ("--cluster", "cluster.yaml"), ("--name", "mine")])
def test_the_file_says_which_cluster_is_to_be_destroyed(account, capsys, words: tuple[str, ...]):
    where = ("--name", "mine", "--region", "eu-west-1", "--machine-image", IMAGE)
    assert main(["cluster-init", *HERE, *where]) == 0
    capsys.readouterr()
    assert main(["cluster-destroy", "--yes", *words]) == 0
    assert ", eu-west-1\n" in capsys.readouterr().out
    assert left(account)["roles"] == []


@pytest.mark.parametrize(
    "text", ["provider: {type: local}\n", "metadata: {name: [}\n", "metadata: {name: x}\n"]
)
def test_beside_a_file_that_says_no_cluster_name_and_region_must_say_it(account, capsys, text: str):
    assert main(["cluster-init", *HERE]) == 0
    Path("cluster.yaml").write_text(text)
    there = left(account)
    assert main(["cluster-destroy", "--yes", "--name", "stir"]) == 2
    assert "--name and --region say together which cluster" in capsys.readouterr().err
    assert left(account) == there
    assert main(["cluster-destroy", "--yes", "--name", "stir", "--region", "us-east-1"]) == 0
    assert left(account)["roles"] == []


@pytest.mark.parametrize(
    ("text", "said"), [(None, "is of none yet"), ("filled in", "cluster.yaml is of stir, not mine")]
)
def test_a_file_that_is_named_must_be_of_the_cluster_that_is_meant(
    account, capsys, text: str | None, said: str
):
    assert main(["cluster-init", *HERE]) == 0
    there = left(account)
    if text is None:
        Path("cluster.yaml").write_bytes(SHIPPED.read_bytes())
    words = ["cluster-destroy", "--yes", "--name", "mine", "--cluster", "cluster.yaml"]
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert left(account) == there


def test_an_account_written_as_a_number_is_the_same_account(account):
    assert main(["cluster-init", *HERE]) == 0
    path = Path("cluster.yaml")
    path.write_text(path.read_text().replace('"123456789012"', "123456789012"))
    assert main(["cluster-destroy", "--yes"]) == 0
    assert left(account)["roles"] == []


def test_another_cluster_than_that_of_the_file_is_destroyed_if_it_is_named(account):
    assert main(["cluster-init", *HERE, "--name", "other", "--out", "other.yaml"]) == 0
    assert main(["cluster-init", *HERE]) == 0
    assert main(["cluster-destroy", "--yes", "--name", "other"]) == 0
    assert left(account)["roles"] == ["stir-head", "stir-worker"]


def test_a_file_of_another_account_stops_the_destruction(account, capsys):
    assert main(["cluster-init", *HERE]) == 0
    path, there = Path("cluster.yaml"), left(account)
    path.write_text(path.read_text().replace("123456789012", "210987654321"))
    assert main(["cluster-destroy", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "cluster.yaml is of 210987654321, and your credentials are of 123456789012" in said
    assert left(account) == there


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_is_named_must_be_one_of_a_cluster(account, capsys, there: bool):
    if there:
        Path("notes.yaml").write_text("name: notes\n")
    assert main(["cluster-destroy", "--yes", "--cluster", "notes.yaml"]) == 2
    assert "notes.yaml" in capsys.readouterr().err


def test_nothing_is_made_without_a_yes(account, capsys):
    assert main(["cluster-init", *HERE[:2]]) == 2  # there is no terminal to ask
    assert "--yes agrees" in capsys.readouterr().err
    assert left(account)["buckets"] == []
    assert not Path("cluster.yaml").exists()


def test_kinds_and_counts_are_as_asked_for(account):
    assert main(["cluster-init", *HERE, "--cpu", "--max-machines", "5"]) == 0
    counts = yaml.safe_load(Path("cluster.yaml").read_text())["metadata"]
    assert [counts[name] for name in ("workers", "cpu_spot_workers")] == [5, 5]
    assert [counts[f"gpu_{kind}_workers"] for kind in ("spot", "on_demand")] == [0, 0]


def test_a_kind_of_machine_that_the_user_has_chosen_stays_and_may_be_launched(account):
    assert main(["cluster-init", *HERE]) == 0
    path = Path("cluster.yaml")
    path.write_text(path.read_text().replace("&cpu_type c7i.4xlarge", "&cpu_type c7i.8xlarge"))
    assert main(["cluster-init", *HERE]) == 0
    assert "&cpu_type c7i.8xlarge" in path.read_text()
    policy = account("iam").get_role_policy(RoleName="stir-head", PolicyName="machines")
    conditions = [one.get("Condition", {}) for one in policy["PolicyDocument"]["Statement"]]
    kinds = [one["StringEquals"].get("ec2:InstanceType") for one in conditions if one]
    assert ["m7i.large", "c7i.8xlarge", "g6.2xlarge"] in kinds


def test_an_image_that_has_everything_is_not_installed_into_but_rays_is_as_shipped(account):
    image = "docker.io/me/scale-generalization:0.1.0-ray2.60.0-torch2.13.0-py3.11"
    assert main(["cluster-init", *HERE, "--image", image]) == 0
    written = yaml.safe_load(Path("cluster.yaml").read_text())
    assert (written["docker"]["image"], written["setup_commands"]) == (image, [])
    assert main(["cluster-init", *HERE]) == 0
    shipped = yaml.safe_load(SHIPPED.read_text())
    written = yaml.safe_load(Path("cluster.yaml").read_text())
    assert written["docker"]["image"] == shipped["docker"]["image"]
    assert written["setup_commands"] == shipped["setup_commands"]


def test_the_address_is_looked_up_at_a_service_of_amazons(account, monkeypatch):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"198.51.100.4\n")

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(market, "CHECK_ADDRESS", address)
        assert market.own_address() == "198.51.100.4/32"


@pytest.mark.parametrize("address", ["0.0.0.0/0", "::1", "home", "10.0.0.0/4", "1.2.3.4/33"])
def test_an_address_that_is_none_or_the_whole_world_is_refused(address, account, capsys):
    assert main(["cluster-init", "--from-address", address, "--yes"]) == 2
    assert f"and not the whole world; got {address!r}" in capsys.readouterr().err
    assert left(account)["buckets"] == []


def answer(monkeypatch: pytest.MonkeyPatch, operation: str, content: dict) -> None:
    """Let AWS answer one operation in a certain way."""
    real = BaseClient._make_api_call

    def call(self, name, arguments):
        if name != operation:
            return real(self, name, arguments)
        if "Error" in content:
            raise ClientError(content, name)
        return content

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


@pytest.mark.parametrize(
    ("operation", "code", "said"),
    [
        ("CreateStack", "AccessDenied", "must have the right to CreateStack"),
        ("DescribeSpotPriceHistory", "UnauthorizedOperation", "right to DescribeSpotPriceHistory"),
        ("CreateServiceLinkedRole", "AccessDenied", "right to CreateServiceLinkedRole"),
        ("GetCallerIdentity", "ExpiredToken", "these have expired. `aws configure` or `aws sso"),
        ("GetCallerIdentity", "InvalidClientTokenId", "Credentials of AWS must be known to it"),
        ("DescribeVpcs", "OptInRequired", "must be set up for this region"),
        ("HeadBucket", "403", "must have the right to HeadBucket, for the bucket"),
        ("ImportKeyPair", "RequestLimitExceeded", "AWS must do ImportKeyPair, for the key pair"),
    ],
)
def test_what_aws_refuses_is_one_sentence(operation, code, said, account, capsys, monkeypatch):
    message = "no. Encoded authorization failure message: abc"
    answer(monkeypatch, operation, {"Error": {"Code": code, "Message": message}})
    assert main(["cluster-init", *HERE]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert "Encoded" not in err
    assert not Path("cluster.yaml").exists()


def test_a_quota_of_nothing_names_where_to_ask_for_more(account, capsys, monkeypatch):
    monkeypatch.setattr(
        "tune_jobs.cluster.setup.aws.vcpus_allowed",
        lambda _: {"head": 5.0, "cpu_spot": 40.0, "gpu_spot": 0.0, "gpu_on_demand": 0.0},
    )
    assert main(["cluster-init", *HERE, "--gpu"]) == 2
    assert "quotas/L-3819A6DF" in capsys.readouterr().err
    assert main(["cluster-init", *HERE]) == 0  # of both kinds, those that may be
    out = capsys.readouterr().out
    assert "quota allows 0 gpu spot machines at once (0 vCPUs)" in out
    counts = yaml.safe_load(Path("cluster.yaml").read_text())["metadata"]
    assert [counts[f"{kind}_spot_workers"] for kind in ("cpu", "gpu")] == [2, 0]


def test_without_credentials_it_is_said_how_to_get_some(account, capsys, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert main(["cluster-init", *HERE]) == 2
    assert "`aws configure` or `aws sso login`" in capsys.readouterr().err


def test_a_region_that_is_none_is_refused(account, capsys):
    assert main(["cluster-init", *HERE, "--region", "mars-1"]) == 2
    assert "--region must be a region of AWS, such as us-east-1; got mars-1" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"123456789012"', '"999999999999"', "of the account 999999999999, and you are about"),
        ("&region us-east-1", "&region eu-west-1", "of the region eu-west-1, and you are about"),
        ("&name stir", "&name other", "of the name other, and you are about"),
    ],
)
def test_a_file_of_another_cluster_is_left_alone(old, new, said, account, capsys):
    assert main(["cluster-init", *HERE]) == 0
    path = Path("cluster.yaml")
    changed = path.read_text().replace(old, new)
    path.write_text(changed)
    assert main(["cluster-init", *HERE, "--region", "us-east-1"]) == 2
    assert said in capsys.readouterr().err
    assert path.read_text() == changed


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "DELETE_FAILED", "CREATE_IN_PROGRESS"])
def test_a_stack_that_is_not_whole_names_the_way_out(status, account, capsys, monkeypatch):
    whole = Stack(name="stir", status=status, parameters={}, outputs={})
    failed = {
        "Timestamp": 0,
        "LogicalResourceId": "Bucket",
        "ResourceStatus": "CREATE_FAILED",
        "ResourceStatusReason": "the name is taken",
    }
    answer(monkeypatch, "DescribeStackEvents", {"StackEvents": [failed]})
    monkeypatch.setattr(stack, "find_stack", lambda *at: whole)
    assert main(["cluster-init", *HERE]) == 2
    err = capsys.readouterr().err
    assert f"The stack stir must be whole; it is {status} (Bucket: the name is taken). " in err
    assert ("Wait until" in err) == status.endswith("_IN_PROGRESS")
