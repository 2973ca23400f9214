"""A cluster on AWS: what it would be, then made; and taken away again."""

import platform
from collections.abc import Callable, Mapping
from math import inf

from stir.terminal import counted
from tune_jobs.cluster.setup.account import Account, asking, code_of
from tune_jobs.cluster.setup.cluster_file import ClusterFile, shipped_values
from tune_jobs.cluster.setup.keys import cluster_folder, key_pair
from tune_jobs.cluster.setup.market import (
    Offer,
    default_network,
    machine_image,
    network,
    offers,
    own_address,
    require_quotas,
    vcpus_allowed,
)
from tune_jobs.cluster.setup.proposal import Proposal, Wish
from tune_jobs.cluster.setup.software import describe, write_software
from tune_jobs.cluster.setup.stack import Stack, deploy_stack, find_stack
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.machines.kinds import CPU_TYPES, GPU_TYPES, HEAD, Machine, load_machines

Say = Callable[[str], None]
MOST_OVER_SPOT = 1.5  # what a spot machine may come to cost, over what it costs now
RESULTS = "stir"  # the prefix in the bucket


def propose(wish: Wish) -> Proposal:
    """Look up all that a cluster would be made of; TuneJobsError for what stands in its way."""
    file = ClusterFile(wish.out)
    account = Account(wish.region or (file.values["region"] if file.is_filled else None))
    _require_same(file, account, wish)
    stack = find_stack(account, wish.name)
    bucket = stack.outputs.get("BucketName", "") if stack else ""
    existing = _before(stack, "ExistingBucket")
    if not bucket:
        bucket = f"{wish.name}-{account.number}-{account.region}"
        existing = bucket if _has_bucket(account, bucket) else ""
    wanted = {
        kind: (str(file.values[f"{kind}_type"]),) if file.is_filled else types
        for kind, types in {"cpu": CPU_TYPES, "gpu": GPU_TYPES}.items()
    }
    found = offers(account, (*wanted["cpu"], *wanted["gpu"]))
    chosen = {kind: _cheapest(found, types) for kind, types in wanted.items()}
    vcpus = vcpus_allowed(account)
    counts, notes = _counts(wish, file, chosen, vcpus, account.region)
    types = [HEAD, *(offer.type for offer in chosen.values() if offer)]
    address = network(wish.from_address) if wish.from_address else own_address()
    return Proposal(
        wish=wish,
        account=account,
        file=file,
        is_new=stack is None,
        bucket=bucket,
        parameters={
            "Name": wish.name,
            "Vpc": wish.vpc or default_network(account),
            "FromAddress": address,
            "MachineTypes": ",".join(types),
            "ExistingBucket": existing,
            "Email": wish.email or _before(stack, "Email"),
            "MonthlyDollars": str(wish.monthly_dollars or _before(stack, "MonthlyDollars", "100")),
        },
        values={
            "name": wish.name,
            "account": f'"{account.number}"',
            "region": account.region,
            "storage": f'"--env=TUNE_JOBS_STORAGE=s3://{bucket}/{RESULTS}"',
            "machine_image": wish.machine_image or machine_image(account),
            **_software(wish),
            **_prices(chosen),
            **counts,
        },
        cpu=chosen["cpu"],
        gpu=chosen["gpu"],
        notes=notes,
    )


def carry_out(proposal: Proposal, say: Say) -> None:
    """Make it all, in steps that may be made again; the cluster file is written last."""
    wish, account, file = proposal.wish, proposal.account, proposal.file
    _allow_spot(account)
    stack = deploy_stack(account, wish.name, proposal.parameters, say)
    pair = key_pair(account, wish.name)
    say(f"key pair {pair}: {cluster_folder(wish.name) / 'ssh-key'}")
    folder = cluster_folder(wish.name) / "software"
    say(describe(write_software(folder), folder))
    file.fill(
        {
            **proposal.values,
            "security_group": f"[{stack.outputs['GroupId']}]",
            "head_profile": f"{{Name: {stack.outputs['HeadProfileName']}}}",
            "worker_profile": f"{{Name: {stack.outputs['WorkerProfileName']}}}",
            "key_pair": pair,
        }
    )
    file.write()
    say(f"{file.path}: written")


def _require_same(file: ClusterFile, account: Account, wish: Wish) -> None:
    """Leave alone a file that belongs to something else."""
    if not file.is_filled:
        return
    for what, written, here in (
        ("account", file.values["account"], account.number),
        ("region", file.values["region"], account.region),
        ("name", file.values["name"], wish.name),
    ):
        if written != here:
            raise TuneJobsError(
                f"A cluster file must stay with its cluster; {file.path} is of the {what} "
                f"{written}, and you are about to use {here}. AWS_PROFILE, --region and --name "
                "choose; --out names another file."
            )


def _before(stack: Stack | None, parameter: str, default: str = "") -> str:
    """What a stack was given before."""
    return stack.parameters.get(parameter, default) if stack else default


def _has_bucket(account: Account, bucket: str) -> bool:
    """Whether the account has a bucket of that name already."""
    from botocore.exceptions import ClientError

    with asking(f"the bucket {bucket}"):
        try:
            account.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchBucket"):
                return False
            raise
    return True


def _allow_spot(account: Account) -> None:
    """What an account needs once, before its first spot machine."""
    from botocore.exceptions import ClientError

    with asking("spot machines"):
        try:
            account.client("iam").create_service_linked_role(AWSServiceName="spot.amazonaws.com")
        except ClientError as error:
            if code_of(error) not in ("InvalidInput", "EntityAlreadyExists"):
                raise


def _cheapest(found: Mapping[str, Offer], types: tuple[str, ...]) -> Offer | None:
    there = [found[name] for name in types if name in found]
    return min(there, key=lambda offer: offer.spot) if there else None


def _counts(
    wish: Wish,
    file: ClusterFile,
    chosen: Mapping[str, Offer | None],
    vcpus: Mapping[str, float | None],
    region: str,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """How many machines of each kind there may be, and what is to be said of it."""
    machines, notes = load_machines(), []
    most = wish.max_machines or int(file.values["workers"])
    require_quotas(vcpus, region, ["head"])
    counts = {"workers": str(most)}
    kept = file.is_filled and wish.max_machines is None and wish.cpu and wish.gpu
    asked = {
        "cpu_spot": (wish.cpu, "cpu", most),
        "gpu_spot": (wish.gpu, "gpu", most),
        "gpu_on_demand": (wish.gpu, "gpu", min(most, 2)),
    }
    for kind, (wanted, family, usual) in asked.items():
        offer, allowed = chosen[family], vcpus[kind]
        number = int(file.values[f"{kind}_workers"]) if kept else usual
        if wanted and offer is None:
            notes.append(f"{region} has no spot machines of the kinds for {family.upper()}s")
        if wanted and kind.endswith("spot") and not (wish.cpu and wish.gpu):
            require_quotas(vcpus, region, [kind])
        if not wanted or offer is None:
            number = 0
        elif (fit := _fit(allowed, machines.get(offer.type))) < number:
            number = int(fit)
            machines_at_once = counted(number, f"{kind.replace('_', ' ')} machine")
            notes.append(
                f"the account's quota allows {machines_at_once} at once ({allowed:.0f} vCPUs)"
            )
        counts[f"{kind}_workers"] = str(number)
    if all(vcpus[kind] is None for kind in vcpus):
        notes.append("the account's quotas cannot be read; a launch that they forbid fails later")
    return counts, tuple(notes)


def _fit(vcpus: float | None, machine: Machine | None) -> float:
    """How many machines a quota allows; no limit where it, or their kind, is not known."""
    return inf if vcpus is None or machine is None else vcpus // machine.cpus


def _software(wish: Wish) -> dict[str, str]:
    """How machines come to this software: an image that has it, or Ray's and a wheel."""
    import ray

    values = {
        "files": f"~/.stir/{wish.name}/software",
        "ssh_key": f"~/.stir/{wish.name}/ssh-key",
    }
    if wish.image:
        return {**values, "image": wish.image, "install": "[]"}
    python = "".join(platform.python_version_tuple()[:2])
    install = shipped_values()["install"]  # a file that was filled in for an image has none
    return {
        **values,
        "image": f"rayproject/ray:{ray.__version__}-py{python}-cpu",
        "install": "".join(f"\n    - {command}" for command in install),
    }


def _prices(chosen: Mapping[str, Offer | None]) -> dict[str, str]:
    machines = load_machines()
    values = {"head_type": HEAD, "head_price": f'"{money(machines[HEAD].on_demand)}"'}
    for family, offer in chosen.items():
        if offer:
            values[f"{family}_type"] = offer.type
            values[f"{family}_spot_price"] = f'"{money(offer.spot)}"'
            machine = machines.get(offer.type)  # else a user's own choice
            values[f"{family}_most"] = f'"{_most(offer, machine):.2f}"'
            if family == "gpu" and machine:
                values["gpu_on_demand_price"] = f'"{money(machine.on_demand)}"'
    return values


def _most(offer: Offer, machine: Machine | None) -> float:
    """The most that a spot machine may come to cost."""
    on_demand = machine.on_demand if machine else inf
    return max(0.01, min(on_demand, MOST_OVER_SPOT * offer.spot))


def money(dollars: float) -> str:
    """A price with as many digits as it needs, such as 0.10 or 0.3561."""
    return f"{dollars:.2f}" if round(dollars, 2) == dollars else f"{dollars:.5f}".rstrip("0")
