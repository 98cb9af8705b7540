"""Azure OpenAI: which address a declaration means, which credential goes with it, and what its schemas may hold."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from inlay.errors import AuthenticationFailed, ConnectionFailed, ModelNotFound, SpecError
from inlay.providers import azure_entra
from inlay.providers.azure import AzureChat, AzureResponses
from inlay.providers.azure_entra import EntraTokens, GivenToken
from inlay.providers.models import resolve
from inlay.providers.transport import Transport
from inlay.testing import Simulator
from inlay.types import CallShape, HttpRequest

KEY = {"AZURE_OPENAI_API_KEY": "azure-canary-123456"}
RES = "https://res.openai.azure.com"
SCHEMA = {
    "type": "object",
    "properties": {"when": {"type": ["string", "null"], "format": "date", "pattern": "^2"}, "n": {"type": "integer"}},
    "required": ["when", "n"],
    "additionalProperties": False,
}


def shape(**changes: Any) -> CallShape:
    given: dict[str, Any] = {
        "model": "mini",
        "system": "s",
        "schema": SCHEMA,
        "schema_name": "read",
        "max_output_tokens": 64,
        **changes,
    }
    return CallShape(**given)


def url(
    endpoint: str | None, env: dict[str, str] | None = None, *, model: str = "mini", wire: str | None = None
) -> str:
    found = resolve(f"azure:{model}", endpoint, env={**KEY, **(env or {})}, wire=wire)
    assert found.dialect is not None
    return found.dialect.encoder(shape(model=model))("x").url


# --- addresses


@pytest.mark.parametrize(
    ("endpoint", "chat", "responses"),
    [
        (RES, f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/responses"),
        (f"{RES}/", f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/responses"),
        (f"{RES}/openai", f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/responses"),
        (f"{RES}/openai/v1/", f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/responses"),
        (f"{RES}/openai/v1/responses", f"{RES}/openai/v1/chat/completions", f"{RES}/openai/v1/responses"),
        (
            f"{RES}/openai/v1/?api-version=preview",
            f"{RES}/openai/v1/chat/completions?api-version=preview",
            f"{RES}/openai/v1/responses?api-version=preview",
        ),
        (
            f"{RES}?api-version=2025-04-01-preview",
            f"{RES}/openai/deployments/mini/chat/completions?api-version=2025-04-01-preview",
            f"{RES}/openai/responses?api-version=2025-04-01-preview",
        ),
        (
            f"{RES}/openai/deployments/mini/chat/completions?api-version=2024-10-21",
            f"{RES}/openai/deployments/mini/chat/completions?api-version=2024-10-21",
            f"{RES}/openai/responses?api-version=2024-10-21",
        ),
        (
            "https://res.services.ai.azure.com/api/projects/p",
            "https://res.services.ai.azure.com/api/projects/p/openai/v1/chat/completions",
            "https://res.services.ai.azure.com/api/projects/p/openai/v1/responses",
        ),
    ],
)
def test_an_address_in_any_form_that_people_have(endpoint: str, chat: str, responses: str) -> None:
    assert url(endpoint) == chat
    assert url(endpoint, wire="chat") == chat
    assert url(endpoint, wire="responses") == responses
    assert url(None, {"AZURE_OPENAI_ENDPOINT": endpoint}) == chat


def test_a_version_of_the_environment_means_dated_paths_unless_the_address_is_v1() -> None:
    dated = {"OPENAI_API_VERSION": "2024-10-21"}
    assert url(RES, dated) == f"{RES}/openai/deployments/mini/chat/completions?api-version=2024-10-21"
    assert url(f"{RES}/openai/v1", dated) == f"{RES}/openai/v1/chat/completions"
    assert url(f"{RES}?api-version=2025-01-01", dated).endswith("api-version=2025-01-01")
    with pytest.raises(SpecError, match="no api-version") as caught:
        url(RES, {"OPENAI_API_VERSION": "2024&x=y"})
    assert caught.value.key == "OPENAI_API_VERSION"
    with pytest.raises(SpecError, match="no api-version") as pasted:
        url(f"{RES}?api-version=2024-10-21&key=canary")
    assert pasted.value.key == "endpoint"
    assert "canary" not in str(pasted.value)


def test_a_deployments_name_is_part_of_a_dated_path_whatever_it_holds() -> None:
    dated = {"OPENAI_API_VERSION": "2024-10-21"}
    assert "/deployments/a%2Fb%3F%20%E6%97%A5/chat" in url(RES, dated, model="a/b? 日")


def test_an_address_that_names_another_deployment_is_refused() -> None:
    place = f"{RES}/openai/deployments/large/chat/completions?api-version=2024-10-21"
    with pytest.raises(SpecError, match="names the deployment 'large'") as caught:
        url(place)
    assert "azure:large" in caught.value.remedy
    assert "/large/" in url(place, model="large")


def test_no_address_says_where_one_is_written() -> None:
    with pytest.raises(SpecError) as caught:
        resolve("azure:mini", env=KEY)
    assert "AZURE_OPENAI_ENDPOINT" in caught.value.remedy
    assert "openai.azure.com" in caught.value.remedy
    with pytest.raises(SpecError, match="query"):
        resolve("azure:mini", f"{RES}?key=abc", env=KEY)
    with pytest.raises(SpecError, match="not a URL"):
        resolve("azure:mini", "https://[", env=KEY)


# --- credentials


def test_a_key_goes_in_azures_own_header_and_only_home() -> None:
    found = resolve("azure:mini", RES, env=KEY)
    assert found.auth_headers == (("api-key", "azure-canary-123456"),)
    assert (found.signer, found.key_variable) == (None, "AZURE_OPENAI_API_KEY")
    for home in ("https://r.services.ai.azure.com", "https://r.cognitiveservices.azure.com", "http://127.0.0.1:9"):
        assert resolve("azure:mini", home, env=KEY).auth_headers
    with pytest.raises(SpecError, match=r"is not sent to evil\.example"):
        resolve("azure:mini", "https://evil.example", env=KEY)
    assert resolve("azure:mini", env={**KEY, "AZURE_OPENAI_ENDPOINT": "https://apim.example"}).auth_headers


def test_a_token_of_the_environment_comes_before_the_key() -> None:
    env = {**KEY, "AZURE_OPENAI_AD_TOKEN": "ad-canary-98765432"}
    found = resolve("azure:mini", RES, env=env)
    assert found.auth_headers == ()
    assert isinstance(found.signer, GivenToken)
    assert asyncio.run(found.signer.headers(HttpRequest(RES))) == (("authorization", "Bearer ad-canary-98765432"),)
    assert "canary" not in repr(found) + repr(found.signer)
    with pytest.raises(SpecError, match=r"your credential is not sent to evil\.example") as caught:
        resolve("azure:mini", "https://evil.example", env=env)
    assert "AZURE_OPENAI_ENDPOINT" in caught.value.remedy
    declared = resolve("azure:mini", RES, "TEAM_KEY", {**env, "TEAM_KEY": "team-key-1"})
    assert declared.auth_headers == (("api-key", "team-key-1"),)
    assert resolve("azure:mini", RES, env={}, need_key=False).signer is None


def test_without_any_credential_it_says_how_to_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_entra, "installed", lambda: False)
    with pytest.raises(AuthenticationFailed) as caught:
        resolve("azure:mini", RES, env={})
    assert "AZURE_OPENAI_API_KEY" in caught.value.remedy
    assert "inlay[azure]" in caught.value.remedy
    monkeypatch.setattr(azure_entra, "installed", lambda: True)
    found = resolve("azure:mini", RES, env={"AZURE_OPENAI_SCOPE": "https://cognitiveservices.azure.us/.default"})
    assert repr(found.signer) == "EntraTokens('https://cognitiveservices.azure.us/.default')"


@dataclass
class Token:
    token: str
    expires_on: float


class Chain:
    """A credential as azure-identity has them, on a clock of its own."""

    def __init__(self, clock: list[float], lives_s: float = 3600) -> None:
        self.clock = clock
        self.lives_s = lives_s
        self.asked: list[str] = []
        self.threads: set[int] = set()
        self.fails: Exception | None = None

    def get_token(self, scope: str) -> Token:
        self.asked.append(scope)
        self.threads.add(threading.get_ident())
        if self.fails is not None:
            raise self.fails
        return Token(f"token-{len(self.asked)}", self.clock[0] + self.lives_s)


def tokens(chain: Chain) -> EntraTokens:
    return EntraTokens(make=lambda: chain, clock=lambda: chain.clock[0])


async def bearer(signer: EntraTokens) -> str:
    ((name, value),) = await signer.headers(HttpRequest(RES))
    assert name == "authorization"
    return value


def test_a_token_is_fetched_once_and_renewed_before_it_expires() -> None:
    chain = Chain([1000.0])
    signer = tokens(chain)

    async def scenario() -> None:
        assert set(await asyncio.gather(*(bearer(signer) for _ in range(20)))) == {"Bearer token-1"}
        chain.clock[0] += 3299
        assert await bearer(signer) == "Bearer token-1"
        chain.clock[0] += 2
        assert set(await asyncio.gather(*(bearer(signer) for _ in range(20)))) == {"Bearer token-2"}

    asyncio.run(scenario())
    assert chain.asked == ["https://ai.azure.com/.default"] * 2
    assert threading.get_ident() not in chain.threads
    assert "token-" not in repr(signer)


def test_a_token_that_cannot_be_renewed_serves_until_it_expires() -> None:
    chain = Chain([1000.0])
    signer = tokens(chain)

    async def scenario() -> None:
        await bearer(signer)
        chain.fails = RuntimeError("the metadata service is away")
        chain.clock[0] += 3400
        assert await bearer(signer) == "Bearer token-1"
        chain.clock[0] += 300
        with pytest.raises(AuthenticationFailed, match="metadata service is away"):
            await bearer(signer)
        chain.fails = None
        assert (await bearer(signer)).startswith("Bearer token-")

    asyncio.run(scenario())


def test_what_azure_identity_raises_is_ours_by_its_class() -> None:
    core = pytest.importorskip("azure.core.exceptions")
    chain = Chain([0.0])
    signer = tokens(chain)

    chain.fails = core.ClientAuthenticationError("no credential for eyJhbGciOiJSUzI1NiJ9.secret in the chain\nmore")
    with pytest.raises(AuthenticationFailed) as refused:
        asyncio.run(bearer(signer))
    assert "eyJ" not in str(refused.value)
    assert "more" not in refused.value.message
    chain.fails = core.ServiceRequestError("Name or service not known")
    with pytest.raises(ConnectionFailed) as away:
        asyncio.run(bearer(signer))
    assert away.value.possibly_paid is False


def test_the_real_chain_of_azure_identity_says_that_it_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = pytest.importorskip("azure.identity")
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    assert azure_entra.installed()
    signer = EntraTokens(make=identity.EnvironmentCredential)
    with pytest.raises(AuthenticationFailed, match="Entra gave no token") as caught:
        asyncio.run(bearer(signer))
    assert "az login" in caught.value.remedy


def test_a_signed_request_arrives_with_its_token() -> None:
    async def scenario(signer: EntraTokens) -> None:
        with Simulator(api_keys=["token-1"]) as simulator:
            dialect = AzureChat(simulator.endpoint)
            async with Transport(simulator.endpoint, signer=signer) as transport:
                answer = dialect.read(*await transport.send(dialect.encoder(shape())("hello")))
                assert set(json.loads(answer.text)) == {"when", "n"}

    asyncio.run(scenario(tokens(Chain([0.0]))))


def test_a_signers_token_that_a_server_repeats_is_hidden(raw_server: Any) -> None:
    async def echo(request: bytes, writer: asyncio.StreamWriter) -> None:
        head = request.split(b"\r\n\r\n")[0]
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%b" % (len(head), head))

    async def scenario() -> bytes:
        async with raw_server(echo) as origin, Transport(origin, signer=GivenToken("ad-canary-98765432")) as transport:
            _, _, body = await transport.send(HttpRequest(origin + "/v1", b"{}"))
            return body

    body = asyncio.run(scenario())
    assert b"authorization: " in body.lower()
    assert b"canary" not in body


# --- schemas and words


def test_schemas_keep_within_what_azure_documents() -> None:
    body = orjson.loads(AzureChat(RES).encoder(shape())("x").body)
    sent = body["response_format"]["json_schema"]["schema"]["properties"]
    assert sent == {"when": {"type": ["string", "null"]}, "n": {"type": "integer"}}
    body = orjson.loads(AzureResponses(RES).encoder(shape())("x").body)
    assert body["text"]["format"]["schema"]["properties"] == sent
    assert body["store"] is False


def test_a_schema_over_azures_limits_is_refused_with_the_limit() -> None:
    many = {f"f{n}": {"type": "string"} for n in range(101)}
    wide = {"type": "object", "properties": many, "required": list(many), "additionalProperties": False}
    with pytest.raises(SpecError, match="101 properties; Azure takes 100") as caught:
        AzureChat(RES).encoder(shape(schema=wide))
    assert "passes" in caught.value.remedy
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(5):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"], "additionalProperties": False}
    with pytest.raises(SpecError, match="deeper than 5 levels, which Azure"):
        AzureChat(RES).encoder(shape(schema=deep))
    AzureChat(RES).encoder(shape(schema=deep["properties"]["a"]))


def test_what_stops_a_run_speaks_of_deployments_and_roles() -> None:
    with pytest.raises(ModelNotFound) as gone:
        AzureChat(RES).read(404, {}, b'{"error":{"code":"DeploymentNotFound","message":"no"}}')
    assert "deployment" in gone.value.remedy
    denied = b'{"error":{"code":"PermissionDenied","message":"lacks the required data action"}}'
    with pytest.raises(AuthenticationFailed) as role:
        AzureResponses(RES).read(401, {}, denied)
    assert "Cognitive Services OpenAI User" in role.value.remedy
