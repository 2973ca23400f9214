"""A cluster on AWS that a user wishes for, and what would be made of the wish."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stir.terminal import counted
from tune_jobs.cluster.setup.account import Account
from tune_jobs.cluster.setup.cluster_file import ClusterFile
from tune_jobs.cluster.setup.market import Offer


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a user asks for; None and empty where it is to be looked up, or stay as it is."""

    name: str
    out: Path
    region: str | None = None
    from_address: str = ""
    gpu: bool = True
    cpu: bool = True
    max_machines: int | None = None
    image: str = ""
    machine_image: str = ""
    vpc: str = ""
    email: str = ""
    monthly_dollars: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """What would be made; nothing is, so far.

    ``parameters`` are those of the stack, ``values`` those of the cluster file.
    """

    wish: Wish
    account: Account
    file: ClusterFile
    is_new: bool
    bucket: str
    parameters: Mapping[str, str]
    values: Mapping[str, str]
    cpu: Offer | None
    gpu: Offer | None
    notes: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """All of it, and what it costs, for a user who is to agree."""
        name, given = self.wish.name, self.parameters
        yield f"account {self.account.number} ({self.account.user}), {self.account.region}"
        yield f"  stack {name}, {'to be made' if self.is_new else 'there, brought up to date'}:"
        old = ", which is there already" if given["ExistingBucket"] else ""
        yield f"    bucket {self.bucket}{old}: private, encrypted, over TLS only"
        yield f"    roles {name}-head (launches these machines) and {name}-worker (uses the bucket)"
        yield f"    a security group that lets in SSH from {given['FromAddress']}, no more"
        if given["Email"]:
            yield (
                f"    an alarm to {given['Email']} when the account's bill of a month comes near "
                f"{given['MonthlyDollars']} dollars"
            )
        yield f"  a key pair {name}-..., and the folder ~/.stir/{name} on this machine"
        workers = counted(int(self.values["workers"]), "machine")
        yield f"  {self.wish.out}, for up to {workers} at once:"
        yield f"    head        {self.values['head_type']:12} {self._dollars('head_price')} an hour"
        yield from self._offer("cpu", self.cpu)
        yield from self._offer("gpu", self.gpu)
        for note in self.notes:
            yield f"  note: {note}"
        yield "What the bucket holds costs money, and machines from `ray up` on; nothing else does."
        yield f"`tune-jobs cluster-destroy --name {name}` takes it away again."

    def _offer(self, family: str, offer: Offer | None) -> Iterator[str]:
        count = int(self.values[f"{family}_spot_workers"])
        if offer and count:
            zone = min(offer.zones, key=lambda name: offer.zones[name])
            zones = counted(len(offer.zones), "zone")
            yield (
                f"    {family} spot    {offer.type:12} {self._dollars(f'{family}_spot_price')} an "
                f"hour now in {zone}, the cheapest of {zones}; at most {count}, "
                f"for no more than {self._dollars(f'{family}_most')}"
            )

    def _dollars(self, value: str) -> str:
        return "$" + self.values[value].strip('"')
