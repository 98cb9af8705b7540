"""Where requests may go: an endpoint taken apart, checked, and written in one form.

What stays true: http or https only, no user, password, query or fragment in it; link-local addresses and the cloud's
metadata services are refused however they are written (dotted, decimal, hex, octal, IPv6-mapped, or behind a name);
plain http goes to this machine or a private network only. Record text never becomes an address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from inlay.errors import SpecError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Reach: TypeAlias = Literal["loopback", "private", "public", "unknown"]

_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")))
_PRIVATE_NAMES = (".local", ".internal", ".lan", ".home.arpa", ".svc", ".cluster.local", ".intranet", ".corp", ".home")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A checked endpoint. `url` has no trailing slash; `reach` is "unknown" for a name that only DNS can tell."""

    url: str
    scheme: str
    host: str
    port: int
    reach: Reach

    @property
    def origin(self) -> str:
        """`scheme://host:port`, as URLs begin with."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return f"{self.scheme}://{host}" + ("" if self.port == default else f":{self.port}")


def parse_endpoint(text: str, *, key: str = "endpoint") -> Endpoint:
    """Take an endpoint apart and check all that can be checked without the network. Raises SpecError."""

    def wrong(what: str, remedy: str = "write it like https://api.openai.com/v1") -> SpecError:
        return SpecError(f"the endpoint {what}", key=key, remedy=remedy)

    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise wrong("is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise wrong("must begin with https:// or http://")
    if "@" in parts.netloc:
        raise wrong("holds a user or password", "name the variable that holds the key in `api_key_env` instead")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise wrong("has a query or fragment", "leave out everything from ? or # on; keys go into `api_key_env`")
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in text):
        raise wrong("holds white space, a backslash or a control character")
    host, address = _host(parts.hostname or "", wrong)
    reach = _reach(host, address, key)
    if reach == "public" and parts.scheme == "http":
        raise _plain_http(host, key)
    port = port or (443 if parts.scheme == "https" else 80)
    found = Endpoint("", parts.scheme, host, port, reach)
    return Endpoint(found.origin + parts.path.rstrip("/"), parts.scheme, host, port, reach)


async def resolve_endpoint(endpoint: Endpoint) -> str | None:
    """Ask DNS where a name leads and refuse what must not be asked; the address to pin, or None.

    A plain-http name is pinned to the address that was checked, so that DNS cannot turn it into a public one later;
    over TLS the certificate does that. A name that does not resolve is left to fail as a connection. Raises SpecError.
    """
    if _literal(endpoint.host) is not None or endpoint.host == "localhost":
        return None
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError:
        return None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for address in addresses:
        if _forbidden(address):
            raise _link_local(f"{endpoint.host} leads to {address}, which", "endpoint")
        if endpoint.scheme == "http" and _address_reach(address) == "public":
            raise _plain_http(endpoint.host, "endpoint")
    # IPv4 first: a server that listens on IPv4 alone is the commoner half-configured one.
    addresses.sort(key=lambda address: address.version)
    return str(addresses[0]) if addresses and endpoint.scheme == "http" else None


def _host(host: str, wrong: Callable[..., SpecError]) -> tuple[str, Address | None]:
    """The host in one form, and its address where it is one."""
    if not host:
        raise wrong("names no host")
    if not host.isascii():
        raise wrong("has a host that is not ASCII", "write an international name in its xn-- form")
    host = host.lower().rstrip(".")
    address = _literal(host)
    if address is not None:
        return str(address), address
    if not _NAME.fullmatch(host):
        raise wrong("has a host that is no name and no address")
    return host, None


def _literal(host: str) -> Address | None:
    """The address that a host is, in any of the forms that resolvers take: dotted, short, decimal, octal, hex, IPv6."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}", host):
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries (mapped, 6to4, NAT64), or itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if (inner := address.ipv4_mapped or address.sixtofour) is not None:
            return inner
        if address in _NAT64 or 0xFFFF < int(address) <= 0xFFFFFFFF:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _forbidden(address: Address) -> bool:
    return any(one.is_link_local or one.is_multicast or one in _METADATA for one in (address, _inner(address)))


def _address_reach(address: Address) -> Reach:
    inner = _inner(address)
    if inner.is_loopback or inner.is_unspecified:  # 0.0.0.0 is what servers print, and it reaches this machine
        return "loopback"
    return "public" if inner.is_global else "private"


def _reach(host: str, address: Address | None, key: str) -> Reach:
    if address is not None:
        if _forbidden(address):
            raise _link_local(f"the endpoint's address {address}", key)
        return _address_reach(address)
    if host in _METADATA_NAMES:
        raise _link_local(f"the endpoint {host}", key)
    if host == "localhost" or host.endswith(".localhost"):
        return "loopback"
    if "." not in host or host.endswith(_PRIVATE_NAMES):
        return "private"
    return "unknown"


def _link_local(what: str, key: str) -> SpecError:
    return SpecError(
        f"{what} is link-local or a cloud's metadata service, and is never asked",
        key=key,
        remedy="declare the model server's own address",
    )


def _plain_http(host: str, key: str) -> SpecError:
    return SpecError(
        f"{host} is on the public internet, and plain http would show it the key and every record to anyone between",
        key=key,
        remedy="use https://, or a tunnel to it on localhost",
    )
