"""Where an endpoint may lead: every way of writing a forbidden address is refused."""

from __future__ import annotations

import asyncio
import socket

import pytest

from inlay.errors import SpecError
from inlay.providers import endpoint as endpoint_module
from inlay.providers.endpoint import parse_endpoint, resolve_endpoint


@pytest.mark.parametrize(
    ("text", "url", "reach"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1", "unknown"),
        ("https://API.OpenAI.com:443/v1/", "https://api.openai.com/v1", "unknown"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1", "loopback"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1", "loopback"),
        ("http://0.0.0.0:8000/v1", "http://0.0.0.0:8000/v1", "loopback"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1", "loopback"),
        ("http://[::ffff:7f00:1]:80", "http://[::ffff:7f00:1]", "loopback"),
        ("http://2130706433/v1", "http://127.0.0.1/v1", "loopback"),
        ("http://192.168.1.9:8000/v1", "http://192.168.1.9:8000/v1", "private"),
        ("http://100.64.0.9/v1", "http://100.64.0.9/v1", "private"),
        ("http://ollama:11434", "http://ollama:11434", "private"),
        ("http://vllm.default.svc:80/v1", "http://vllm.default.svc/v1", "private"),
        ("https://8.8.8.8/v1", "https://8.8.8.8/v1", "public"),
        ("https://xn--wgv71a.example/v1", "https://xn--wgv71a.example/v1", "unknown"),
    ],
)
def test_an_endpoint_in_one_form(text: str, url: str, reach: str) -> None:
    found = parse_endpoint(text)
    assert (found.url, found.reach) == (url, reach)
    assert found.url.startswith(found.origin)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "169.254.0.1",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "[fe80::1]",
        "[febf::1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "168.63.129.16",
        "metadata.google.internal",
        "METADATA",
        "224.0.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_link_local_and_metadata_are_refused_however_written(scheme: str, host: str) -> None:
    with pytest.raises(SpecError, match="link-local") as caught:
        parse_endpoint(f"{scheme}://{host}/v1")
    assert caught.value.key == "endpoint"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.openai.com/v1",
        "file:///etc/passwd",
        "ftp://example.com",
        "gopher://127.0.0.1/",
        "https://",
        "http:///v1",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "https://example.com:port/",
        "https://example.com:99999/",
        "https://user@example.com/v1",
        "https://user:pw@example.com/v1",
        "https://example.com@169.254.169.254/",
        "https://example.com/v1?key=hunter2",
        "https://example.com/v1#x",
        "https://example.com/v1?",
        "https://exa mple.com/",
        "https://example.com/\nhost: x",
        "https://example.com\\@127.0.0.1/",
        "https://%31%36%39.254.169.254/",
        "https://１６９.254.169.254/",
        "https://日本.example/",
        "https://-x-.example/",
        "https://a..b/",
    ],
)
def test_what_is_no_endpoint_is_refused_without_showing_secrets(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_endpoint(text)
    assert "hunter2" not in str(caught.value)
    assert "user:pw" not in str(caught.value)
    assert caught.value.remedy


def test_plain_http_to_the_public_internet_is_refused() -> None:
    with pytest.raises(SpecError, match="plain http") as caught:
        parse_endpoint("http://8.8.8.8/v1")
    assert "https://" in caught.value.remedy


REAL = socket.getaddrinfo


def resolved(monkeypatch: pytest.MonkeyPatch, text: str, *addresses: str) -> str | None:
    """What `resolve_endpoint` says when DNS gives these addresses: the network is the only thing replaced."""

    def answer(host: str, port: int, *rest: int, **more: int) -> list[tuple[object, ...]]:
        if not addresses:
            raise socket.gaierror(-2, "unknown")
        return [entry for address in addresses for entry in REAL(address, port, *rest, **more)]

    monkeypatch.setattr(endpoint_module.socket, "getaddrinfo", answer)
    return asyncio.run(resolve_endpoint(parse_endpoint(text)))


def test_a_name_is_looked_up_and_a_plain_one_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolved(monkeypatch, "http://ollama:11434", "10.0.0.7") == "10.0.0.7"
    assert resolved(monkeypatch, "http://ollama:11434", "::1", "127.0.0.1") == "127.0.0.1"
    assert resolved(monkeypatch, "https://api.example.com", "8.8.8.8") is None
    assert resolved(monkeypatch, "http://gone.example:1", *()) is None
    assert resolved(monkeypatch, "http://127.0.0.1:1", "8.8.8.8") is None


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_leads_to_link_local_is_refused(monkeypatch: pytest.MonkeyPatch, scheme: str, address: str) -> None:
    with pytest.raises(SpecError, match="link-local"):
        resolved(monkeypatch, f"{scheme}://innocent.example.com/v1", "10.0.0.1", address)


def test_a_private_looking_name_with_a_public_address_is_refused_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="plain http"):
        resolved(monkeypatch, "http://models.internal/v1", "8.8.8.8")
    with pytest.raises(SpecError, match="plain http"):
        resolved(monkeypatch, "http://models.example.com/v1", "10.0.0.1", "8.8.8.8")
