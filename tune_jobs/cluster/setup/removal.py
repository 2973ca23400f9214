"""What a cluster has left in an account, and its removal; results stay unless told otherwise."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from stir.terminal import counted
from tune_jobs.cluster.setup.account import Account, asking, code_of
from tune_jobs.cluster.setup.keys import TAG, cluster_folder, key_pairs
from tune_jobs.cluster.setup.stack import delete_stack, find_stack
from tune_jobs.errors import TuneJobsError

AT_ONCE = 1000  # objects that S3 removes in a request
ALIVE = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True, kw_only=True, slots=True)
class Remains:
    """What there is of a cluster. ``bucket`` is empty where there is none."""

    account: Account
    name: str
    has_stack: bool
    pairs: tuple[str, ...]
    bucket: str
    objects: int
    size: int  # bytes

    def goes(self, *, with_bucket: bool) -> list[str]:
        """What a removal takes away."""
        lines = [f"stack {self.name}: roles, profiles, policies, security group, alarm"]
        lines = lines * self.has_stack + [f"key pair {pair}" for pair in self.pairs]
        lines += [str(cluster_folder(self.name))] * cluster_folder(self.name).exists()
        return lines + [self._bucket] * bool(with_bucket and self.bucket)

    def stays(self, *, with_bucket: bool) -> list[str]:
        """What it leaves."""
        return [self._bucket] * bool(self.bucket and not with_bucket)

    @property
    def _bucket(self) -> str:
        return f"bucket {self.bucket}: {counted(self.objects, 'object')}, {self.size / 1e9:,.3f} GB"


def survey_cluster(account: Account, name: str) -> Remains:
    """Look at what there is; TuneJobsError while machines of the cluster are on."""
    ec2 = account.client("ec2")
    with asking("machines"):
        pages = ec2.get_paginator("describe_instances").paginate(
            Filters=[
                {"Name": f"tag:{TAG}", "Values": [name]},
                {"Name": "instance-state-name", "Values": list(ALIVE)},
            ]
        )
        alive = [
            instance["InstanceId"]
            for page in pages
            for held in page["Reservations"]
            for instance in held["Instances"]
        ]
    if alive:
        raise TuneJobsError(
            f"A cluster's machines must have ended before it is removed; {len(alive)} have not "
            f"({', '.join(alive[:5])}). `ray down` with its file ends them."
        )
    stack = find_stack(account, name)
    bucket = stack.outputs.get("BucketName", "") if stack else ""
    bucket = bucket or f"{name}-{account.number}-{account.region}"
    held = _held(account, bucket)
    return Remains(
        account=account,
        name=name,
        has_stack=stack is not None,
        pairs=tuple(key_pairs(account, name)),
        bucket=bucket if held else "",
        objects=held[0] if held else 0,
        size=held[1] if held else 0,
    )


def remove(found: Remains, *, with_bucket: bool, say: Callable[[str], None]) -> None:
    """Take away what ``Remains.goes`` names."""
    account = found.account
    if found.has_stack:
        delete_stack(account, found.name)
        say(f"stack {found.name}: removed")
    for pair in found.pairs:
        with asking("the key pair"):
            account.client("ec2").delete_key_pair(KeyName=pair)
        say(f"key pair {pair}: removed")
    if cluster_folder(found.name).exists():
        shutil.rmtree(cluster_folder(found.name))
        say(f"{cluster_folder(found.name)}: removed")
    if with_bucket and found.bucket:
        _remove_bucket(account, found.bucket)
        say(f"bucket {found.bucket}: removed")


def _held(account: Account, bucket: str) -> tuple[int, int] | None:
    """Objects and bytes in a bucket of the account; None if there is no such bucket."""
    from botocore.exceptions import ClientError

    count = size = 0
    with asking(f"the bucket {bucket}"):
        try:
            for page in (
                account.client("s3")
                .get_paginator("list_objects_v2")
                .paginate(Bucket=bucket, ExpectedBucketOwner=account.number)
            ):
                for item in page.get("Contents", []):
                    count, size = count + 1, size + item["Size"]
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchBucket"):
                return None
            raise
    return count, size


def _remove_bucket(account: Account, bucket: str) -> None:
    s3 = account.client("s3")
    with asking(f"the bucket {bucket}"):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            doomed = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
            for start in range(0, len(doomed), AT_ONCE):
                s3.delete_objects(
                    Bucket=bucket, Delete={"Objects": doomed[start : start + AT_ONCE]}
                )
        s3.delete_bucket(Bucket=bucket)
