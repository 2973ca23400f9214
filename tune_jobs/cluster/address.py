"""Whether the address of a Ray cluster is this machine's own."""

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

LOCAL = "local"  # a Ray of one's own on this machine


def is_loopback(url: str) -> bool:
    """Whether a URL means this machine itself.

    >>> is_loopback("http://127.0.0.1:8265"), is_loopback("http://10.0.0.1:8265")
    (True, False)
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback or address.is_unspecified
