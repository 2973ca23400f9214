"""The files of a cluster on this user's machine: an SSH key, Ray's token, what machines install."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from tune_jobs.cluster.setup.account import Account, asking
from tune_jobs.errors import TuneJobsError

TAG = "ray-cluster-name"  # of everything in an account that belongs to a cluster


def cluster_folder(name: str) -> Path:
    """Where a cluster's files are."""
    return Path("~/.stir").expanduser() / name


def ssh_key(name: str) -> Path:
    """The private key that the machines of a cluster accept, made if there is none."""
    path = cluster_folder(name) / "ssh-key"
    if not path.exists():
        if not shutil.which("ssh-keygen"):
            raise TuneJobsError(
                "A cluster needs OpenSSH on this machine; there is no ssh-keygen. "
                "Debian: apt-get install openssh-client rsync"
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
        subprocess.run(command, check=True, capture_output=True)
    return path


def key_pair(account: Account, name: str) -> str:
    """The name that EC2 has for the public half of the key; it is told it if it does not know."""
    public = ssh_key(name).with_name("ssh-key.pub").read_bytes().strip()
    called = f"{name}-{hashlib.sha256(public).hexdigest()[:8]}"
    ec2 = account.client("ec2")
    with asking("the key pair"):
        if called not in key_pairs(account, name):
            tags = [{"Key": TAG, "Value": name}]
            ec2.import_key_pair(
                KeyName=called,
                PublicKeyMaterial=public,
                TagSpecifications=[{"ResourceType": "key-pair", "Tags": tags}],
            )
    return called


def key_pairs(account: Account, name: str) -> list[str]:
    """The key pairs of a cluster, one of each user's machine."""
    with asking("the key pairs"):
        found = account.client("ec2").describe_key_pairs(
            Filters=[{"Name": f"tag:{TAG}", "Values": [name]}]
        )["KeyPairs"]
    return [pair["KeyName"] for pair in found]
