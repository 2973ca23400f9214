"""What an account can launch in its region: network, machine image, quotas, zones, spot prices."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, ip_address, ip_network

import requests

from tune_jobs.cluster.setup.account import Account, asking, code_of
from tune_jobs.errors import TuneJobsError

CHECK_ADDRESS = "https://checkip.amazonaws.com"
ANSWER_SECONDS = 10.0
WIDEST = 8  # bits of the widest network that may be let in
# Amazon's image with Docker and the driver of GPUs, for x86; the newest in each region.
IMAGE_PARAMETER = (
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
)
QUOTAS: Mapping[str, tuple[str, str]] = {  # vCPUs that may run at once
    "head": ("L-1216C47A", "Running On-Demand Standard instances"),
    "cpu_spot": ("L-34B43A08", "All Standard Spot Instance Requests"),
    "gpu_spot": ("L-3819A6DF", "All G and VT Spot Instance Requests"),
    "gpu_on_demand": ("L-DB2E81BA", "Running On-Demand G and VT instances"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A kind of machine in a region: dollars an hour of a spot machine in each zone that has it."""

    type: str
    zones: Mapping[str, float]

    @property
    def spot(self) -> float:
        """The price in the cheapest zone."""
        return min(self.zones.values())


def own_address() -> str:
    """This machine's address as the internet sees it, as a network of one: 203.0.113.7/32."""
    try:
        answer = requests.get(CHECK_ADDRESS, timeout=ANSWER_SECONDS)
        answer.raise_for_status()
        return network(answer.text.strip())
    except (requests.RequestException, TuneJobsError):
        raise TuneJobsError(
            f"The address that may reach the machines must be known; {CHECK_ADDRESS} did not tell "
            "this machine's. Give it, such as --from-address 203.0.113.7."
        ) from None


def network(text: str) -> str:
    """An address or a network as CloudFormation wants it; TuneJobsError for one that is too wide.

    >>> network("203.0.113.7")
    '203.0.113.7/32'
    """
    try:
        found = ip_network(text) if "/" in text else ip_network(f"{ip_address(text)}")
    except ValueError:
        found = None
    if not isinstance(found, IPv4Network) or found.prefixlen < WIDEST:
        raise TuneJobsError(
            "--from-address must be an IPv4 address or a network of some, such as 203.0.113.7 or "
            f"203.0.113.0/24, and not the whole world; got {text!r:.80}."
        )
    return str(found)


def default_network(account: Account) -> str:
    """The id of the region's default VPC."""
    with asking("the default network"):
        found = account.client("ec2").describe_vpcs(
            Filters=[{"Name": "is-default", "Values": ["true"]}]
        )["Vpcs"]
    if not found:
        raise TuneJobsError(
            f"The region must have a default VPC for the machines; {account.region} has none. "
            "`aws ec2 create-default-vpc` makes one; --vpc names another."
        )
    return found[0]["VpcId"]


def machine_image(account: Account) -> str:
    """The id of Amazon's newest image with Docker and GPU drivers."""
    with asking("the machine image"):
        found = account.client("ssm").get_parameter(Name=IMAGE_PARAMETER)
    return found["Parameter"]["Value"]


def vcpus_allowed(account: Account) -> dict[str, float | None]:
    """How many vCPUs of each kind the account may run at once; None where that cannot be read."""
    from botocore.exceptions import ClientError

    quotas, found = account.client("service-quotas"), {}
    for kind, (code, _) in QUOTAS.items():
        with asking("quotas"):
            try:
                answer = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)
                found[kind] = float(answer["Quota"]["Value"])
            except ClientError as error:
                if code_of(error) not in ("AccessDeniedException", "NoSuchResourceException"):
                    raise
                found[kind] = None
    return found


def offers(account: Account, types: Iterable[str]) -> dict[str, Offer]:
    """Those of some kinds of machine that the region has as spot machines, with today's prices."""
    names = list(types)
    ec2 = account.client("ec2")
    with asking("spot prices"):
        pages = ec2.get_paginator("describe_spot_price_history").paginate(
            InstanceTypes=names,
            ProductDescriptions=["Linux/UNIX"],
            StartTime=datetime.now(UTC),
        )
        history = [entry for page in pages for entry in page["SpotPriceHistory"]]
    prices: dict[str, dict[str, float]] = {}
    for entry in sorted(history, key=lambda entry: entry["Timestamp"]):
        of_type = prices.setdefault(entry["InstanceType"], {})
        of_type[entry["AvailabilityZone"]] = float(entry["SpotPrice"])
    return {name: Offer(type=name, zones=prices[name]) for name in names if name in prices}


def require_quotas(vcpus: Mapping[str, float | None], region: str, kinds: Iterable[str]) -> None:
    """Raise TuneJobsError for the first kind of machine of which the account may run none."""
    for kind in kinds:
        code, name = QUOTAS[kind]
        if vcpus.get(kind) == 0:
            raise TuneJobsError(
                f"The account must be allowed to run machines of every kind asked for; its quota "
                f"{name!r} in {region} is 0. Ask for more: https://{region}.console.aws.amazon.com/"
                f"servicequotas/home/services/ec2/quotas/{code}"
            )
