"""Which addresses a linked photo may be read from: those of the internet that everybody can reach, and no other.

Python's own `is_global` says True for some that lead inside, differently in each version (3.11: 64:ff9b::a9fe:a9fe,
2002:a9fe:a9fe::1, ::127.0.0.1, 224.0.0.1, 192.0.0.8). So the blocks stand here, after
https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry; its answer is asked for too.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from binsight.webhooks import is_loopback as is_loopback

_NOT_PUBLIC_4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' own, and some clouds' metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # looks public, and is Azure's own to its machines
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_UNICAST_6 = IPv6Network("2000::/3")
"""All of IPv6 that is given out to anybody. What is outside is loopback, local, multicast, mapped, or nobody's."""
_NOT_PUBLIC_6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside, over a relay; given up
        "2620:4f:8000::/48",  # AS112: names of private addresses
        "3fff::/20",  # documentation
    )
)
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64: how a network without IPv4 reaches the rest. The last 32 bits are the IPv4 address that is meant."""
_ISATAP = (0x00005EFE, 0x02005EFE)
"""The third 32 bits of an IPv6 address whose last 32 are an IPv4 address within a site."""


def is_public(address: str) -> bool:
    """Whether everybody reaches the address, so that reading from it shows nobody anything new.

    An IPv4 address within an IPv6 one counts by itself where something is there to take it out (mapped, NAT64). The other
    ways to write one so (compatible, 6to4, Teredo, ISATAP, a network's own NAT64) are not public whatever is inside.
    """
    try:
        inner = _inner(ip_address(address))
    except ValueError:
        return False
    if isinstance(inner, IPv4Address):
        return inner.is_global and not any(inner in block for block in _NOT_PUBLIC_4)
    if (int(inner) >> 32) & 0xFFFFFFFF in _ISATAP:
        return False
    return inner.is_global and inner in _UNICAST_6 and not any(inner in block for block in _NOT_PUBLIC_6)


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _TRANSLATED else address
