"""Credentials of databases that AWS keeps: a secret of Secrets Manager, or a token of RDS IAM for each connection.

    mysql:///staging?secret=prod/aurora&region=ap-northeast-1         user, password, host, port from the secret
    mysql://inlay@db.cluster-x.eu-west-1.rds.amazonaws.com/staging?auth=rds_iam&ssl_ca=global-bundle.pem

Who asks is found by AWS's own chain: environment, profile, SSO, container and instance roles. What stays true: what the
URL says counts, and the secret fills in what it leaves out; a token goes out over TLS alone, to a server that was
verified unless the URL says otherwise; botocore is imported here and writes no answer of AWS to any log; no error holds
a part of a secret.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from inlay.databases.address import KINDS, MYSQL, PORTS, Address
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import SpecError

IAM = "rds_iam"
TOKEN_S = 900
_ARN = re.compile(r"arn:[a-z0-9-]+:secretsmanager:([a-z0-9-]+):[0-9]*:secret:.+")
_RDS_HOST = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-[0-9])\.rds\.amazonaws\.com(?:\.cn)?$")
_ENGINES = {"aurora": MYSQL, "aurora-mysql": MYSQL, "aurora-postgresql": "postgresql", **KINDS}
_UNREACHABLE = frozenset(("HTTPClientError", "ConnectionError", "MetadataRetrievalError", "EndpointConnectionError"))
_PASSING = frozenset(
    ("ThrottlingException", "InternalServiceError", "ServiceUnavailable", "RequestTimeout", "TooManyRequestsException")
)
_NO_CREDENTIALS = "export AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=…, aws sso login, or give the job a role"
_SHAPE = 'keep it as JSON such as {"username": …, "password": …, "host": …}, or as the bare password'


def with_credentials(address: Address) -> Address:
    """The address with what AWS knows of it: to connect with once, and to keep nowhere.

    Asks Secrets Manager (a few hundredths of a US cent for a thousand requests) for `secret`; signs a token for
    `auth=rds_iam` here, which asks nothing but the source of the credentials. Safe to call twice. Raises SpecError for
    an address that cannot be right, DatabaseError where AWS refuses (DENIED), knows no such secret (ABSENT) or is out
    of reach (LOST).
    """
    session = _session(address)
    if "secret" in address.options:
        address = _with_secret(address, session)
    auth = address.options.get("auth")
    if not auth:
        return address
    if auth != IAM:
        raise _wrong(f"the address asks for auth={auth[:40]}, which there is not", f"write auth={IAM}, or leave it out")
    return _with_token(address, session)


def _session(address: Address) -> Any:
    """Botocore, quiet: at DEBUG it would write requests with their tokens, and answers with the secret."""
    try:
        import botocore.session
    except ImportError:
        raise _wrong(
            f"{address.shown} has its credentials from AWS, which needs the package botocore",
            "pip install 'inlay[aws]'",
        ) from None
    for name in ("auth", "endpoint", "parsers", "httpsession", "credentials", "utils"):
        logging.getLogger(f"botocore.{name}").setLevel(logging.INFO)
    return botocore.session.Session()


# --- Secrets Manager -------------------------------------------------------------------------------------------------


def _with_secret(address: Address, session: Any) -> Address:
    name = address.options["secret"].strip()
    if not name:
        raise _wrong("the address names no secret behind secret=", "write secret=NAME or secret=ARN")
    if address.password:
        raise _wrong("the address holds a password and a secret as well", "leave one of the two out")
    found = _read(_secret_text(address, name, session), name)
    engine = str(found.get("engine") or "").lower()
    if engine and _ENGINES.get(engine, address.kind) != address.kind:
        raise _wrong(
            f"the secret {name} is of a database of the kind {engine[:40]}, and the address of {address.kind}",
            f"write {_ENGINES[engine]}://…, or name another secret",
        )
    host = address.host or str(found.get("host") or "")
    if not host:
        raise _wrong(f"neither the address nor the secret {name} names a host", f"write {address.kind}://HOST/…")
    try:
        port = address.port or int(found.get("port") or PORTS[address.kind])
    except (TypeError, ValueError):
        raise _wrong(f"the port in the secret {name} is no number", "mend the secret, or write the port") from None
    password = found.get("password")
    if not isinstance(password, str) and address.options.get("auth") != IAM:
        raise _wrong(f"the secret {name} holds no password", _SHAPE)
    return replace(
        address,
        host=host,
        port=port,
        user=address.user or str(found.get("username") or ""),
        password=password or "",
        database=address.database or str(found.get("dbname") or ""),
    )


def _secret_text(address: Address, name: str, session: Any) -> str:
    """The secret's text, asked of Secrets Manager."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    arn = _ARN.fullmatch(name)
    region = _region(address, session, arn[1] if arn else None)
    config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
    try:
        client = session.create_client("secretsmanager", region_name=region, config=config)
        try:
            answer = client.get_secret_value(SecretId=name)
        finally:
            client.close()
    except ClientError as error:
        raise _refused(error, name, region) from None
    except (BotoCoreError, ValueError) as error:
        raise _unreachable(error, f"Secrets Manager in {region}") from None
    text = answer.get("SecretString")
    if not isinstance(text, str) or not text:
        raise _wrong(f"the secret {name} is binary or empty", _SHAPE)
    return text


def _read(text: str, name: str) -> Mapping[str, Any]:
    """A secret as its parts; one that is no JSON object is a password alone."""
    try:
        found = json.loads(text)
    except ValueError:
        if text.lstrip().startswith("{"):
            raise _wrong(f"the secret {name} begins like JSON, and is none", _SHAPE) from None
        return {"password": text}
    return found if isinstance(found, dict) else {"password": text}


def _refused(error: Any, name: str, region: str) -> DatabaseError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    where = f"Secrets Manager in {region}"
    if code in _PASSING:
        return DatabaseError(Trouble.LOST, f"it is overloaded or away ({code})", where=where, code=code)
    if code == "ResourceNotFoundException":
        return DatabaseError(
            Trouble.ABSENT,
            f"there is no secret {name}",
            where=where,
            code=code,
            remedy="check the secret's name and its region; another one is named by &region=… in the address",
        )
    if code == "AccessDeniedException":
        message, remedy = (
            f"the secret {name} may not be read",
            "allow secretsmanager:GetSecretValue on it (and kms:Decrypt on its key) to the role of this process",
        )
    else:
        message, remedy = f"AWS refused the request for the secret {name} ({code})", _NO_CREDENTIALS
    return DatabaseError(Trouble.DENIED, message, where=where, code=code, remedy=remedy)


# --- RDS IAM ---------------------------------------------------------------------------------------------------------


def _with_token(address: Address, session: Any) -> Address:
    if address.is_file:
        raise _wrong(f"auth={IAM} is for servers, and {address.kind} is a file", "leave auth= out")
    if not address.user:
        raise _wrong(f"auth={IAM} needs the user of the database in the address", f"{address.kind}://USER@HOST/…")
    if address.password:
        raise _wrong(f"the address holds a password and auth={IAM} as well", "leave one of the two out")
    named = _RDS_HOST.search(address.host)
    address = replace(address, port=address.port or PORTS[address.kind], options=_over_tls(address))
    region = _region(address, session, named[1] if named else None)
    return replace(address, password=token(session, address.host, address.port, address.user, region))


def token(session: Any, host: str, port: int, user: str, region: str) -> str:
    """A token that opens one database for one user for fifteen minutes; signed here, as botocore's RDS client does,
    whose description of all of RDS takes longer to load than the connection to make."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        credentials = session.get_credentials()
        frozen = None if credentials is None else credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError) as error:
        raise _unreachable(error, "AWS") from None
    if frozen is None:
        raise DatabaseError(Trouble.DENIED, "no AWS credentials were found", where="AWS", remedy=_NO_CREDENTIALS)
    request = AWSRequest("GET", f"https://{host}:{port}/", params={"Action": "connect", "DBUser": user})
    SigV4QueryAuth(frozen, "rds-db", region, expires=TOKEN_S).add_auth(request)
    return str(request.url).removeprefix("https://")


def _over_tls(address: Address) -> Mapping[str, str]:
    """The options with TLS: a token is sent as it is, so whoever reads it could use it."""
    options = dict(address.options)
    if address.kind == MYSQL:
        asked = options.setdefault("ssl", "verify").lower()
        fits = asked in ("verify", "required", "require", "1", "true")
    else:
        asked = options.setdefault("sslmode", "verify-full").lower()
        fits = asked in ("require", "verify-ca", "verify-full")
        if asked == "verify-full":
            options.setdefault("sslrootcert", "system")
    if not fits:
        raise _wrong(
            f"auth={IAM} sends a token, which needs TLS, and the address switches that off",
            "leave the option out; ssl_ca=… (MySQL) or sslrootcert=… (PostgreSQL) names AWS's global-bundle.pem",
        )
    return options


# --- both ------------------------------------------------------------------------------------------------------------


def _region(address: Address, session: Any, meant: str | None) -> str:
    """The region of the address, else of the ARN or the host's name, else of the environment or the profile."""
    from botocore.exceptions import BotoCoreError

    found = address.options.get("region") or meant or os.environ.get("AWS_REGION")
    if not found:
        try:
            found = session.get_config_variable("region")
        except BotoCoreError as error:
            raise _unreachable(error, "AWS") from None
    if not found:
        raise _wrong(
            "no AWS region is known for the credentials of the database", "add &region=… to the address, or AWS_REGION"
        )
    if not re.fullmatch(r"[a-z0-9-]{3,40}", found):
        raise _wrong("the AWS region of the address is none", "write it like region=eu-central-1")
    return found


def _unreachable(error: Exception, where: str) -> DatabaseError:
    """What botocore raises before AWS has answered; its words name files and hosts, and no secret."""
    names = {base.__name__ for base in type(error).__mro__}
    if "NoCredentialsError" in names or "PartialCredentialsError" in names:
        return DatabaseError(Trouble.DENIED, "no AWS credentials were found", where=where, remedy=_NO_CREDENTIALS)
    said = " ".join(str(error).split())[:200]
    if names & _UNREACHABLE:
        if "://" in said and (host := urlsplit(said[said.index("http") :].split('"')[0]).hostname):
            said = f"{host} does not answer"
        return DatabaseError(Trouble.LOST, f"it cannot be reached: {said}", where=where)
    return DatabaseError(Trouble.DENIED, f"no credentials are to be had: {said}", where=where, remedy=_NO_CREDENTIALS)


def _wrong(message: str, remedy: str) -> SpecError:
    return SpecError(message, key="connection", remedy=remedy)
