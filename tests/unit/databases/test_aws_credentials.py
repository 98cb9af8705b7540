"""Credentials that AWS keeps, against moto in this process and botocore's own signature; no cloud, no real secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from inlay.databases import aws
from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import SpecError
from inlay.testing.servers import MariaDB

PASSWORD = "s3cr3t/+ピー-Ω"


@pytest.fixture(scope="module")
def manager() -> Iterator[str]:
    """Secrets Manager, on a free port of this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def aws_environment(manager: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": manager,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def keep(name: str, secret: Any, *, region: str = "ap-northeast-1") -> str:
    """Put a secret where it stands; its ARN."""
    client = botocore.session.Session().create_client("secretsmanager", region_name=region)
    text = secret if isinstance(secret, str) else json.dumps(secret, ensure_ascii=False)
    try:
        return client.create_secret(Name=name, SecretString=text)["ARN"]
    except client.exceptions.ResourceExistsException:
        return client.put_secret_value(SecretId=name, SecretString=text)["ARN"]


def filled(url: str, folder: Path = Path()) -> Any:
    return aws.with_credentials(parse(url, folder))


FULL = {
    "engine": "aurora-mysql",
    "username": "loader",
    "password": PASSWORD,
    "host": "aurora.internal",
    "port": "3307",
    "dbname": "staging",
}


def test_a_secret_fills_in_what_the_address_leaves_out() -> None:
    keep("prod/aurora", FULL)
    found = filled("mysql:///?secret=prod/aurora&region=ap-northeast-1")
    assert (found.host, found.port, found.user, found.password, found.database) == (
        "aurora.internal",
        3307,
        "loader",
        PASSWORD,
        "staging",
    )
    found = filled("mysql://reader@127.0.0.1:3999/other?secret=prod/aurora&region=ap-northeast-1")
    assert (found.host, found.port, found.user, found.database) == ("127.0.0.1", 3999, "reader", "other")
    assert PASSWORD not in repr(found) + found.shown


def test_a_secret_that_is_text_is_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("only-a-password", "12345", '"quoted"', "[1]"):
        keep("plain", text, region="eu-west-1")
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        found = filled("postgresql://u@db/warehouse?secret=plain")
        assert (found.password, found.port) == (text, 5432)


def test_an_arn_tells_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    arn = keep("by-arn", FULL, region="eu-central-1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert filled(f"mysql:///?secret={arn}").password == PASSWORD


@pytest.mark.parametrize(
    ("secret", "url", "says"),
    [
        ({"username": "u", "host": "h"}, "mysql:///?secret=wrong", "holds no password"),
        ({"username": "u", "password": PASSWORD}, "mysql:///db?secret=wrong", "names a host"),
        ({**FULL, "port": "x"}, "mysql:///db?secret=wrong", "no number"),
        ({**FULL, "engine": "postgres"}, "mysql:///db?secret=wrong", "of the kind postgres"),
        ('{"password": "' + PASSWORD, "mysql://h/db?secret=wrong", "begins like JSON"),
        (FULL, "mysql://u:p@h/db?secret=wrong", "a password and a secret"),
        (FULL, "mysql://u@h/db?secret=wrong&auth=kerberos", "which there is not"),
    ],
)
def test_a_wrong_secret_is_named_and_not_shown(
    secret: Any, url: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    keep("wrong", secret, region="us-east-2")
    with pytest.raises(SpecError, match=says) as raised:
        filled(url)
    assert raised.value.remedy
    assert PASSWORD not in str(raised.value)


def test_what_aws_says_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseError, match="there is no secret nowhere") as absent:
        filled("mysql://h/db?secret=nowhere&region=us-east-1")
    assert absent.value.trouble is Trouble.ABSENT
    assert "region" in absent.value.remedy
    with pytest.raises(SpecError, match="no AWS region"):
        filled("mysql://h/db?secret=nowhere")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(DatabaseError, match=r"cannot be reached: 127\.0\.0\.1 does not answer") as lost:
        filled("mysql://h/db?secret=nowhere&region=us-east-1")
    assert lost.value.passing
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(DatabaseError, match="no AWS credentials") as denied:
        filled("mysql://h/db?secret=nowhere&region=us-east-1")
    assert denied.value.trouble is Trouble.DENIED
    assert "role" in denied.value.remedy


def test_no_log_holds_a_secret(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token-that-is-secret")
    keep("logged", {**FULL, "password": "never-in-a-log"})
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    found = filled("mysql:///?secret=logged&region=ap-northeast-1")
    filled("mysql://u@db.x.eu-west-1.rds.amazonaws.com/s?auth=rds_iam")
    assert found.password == "never-in-a-log"
    for secret in ("never-in-a-log", "session-token-that-is-secret", "wJalrXUtnFEMI"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("mysql://inlay@db.c1.eu-west-1.rds.amazonaws.com/s?auth=rds_iam", {"ssl": "verify"}),
        ("mysql://inlay@db.c1.eu-west-1.rds.amazonaws.com/s?auth=rds_iam&ssl=required", {"ssl": "required"}),
        (
            "postgresql://in+lay%40x@db.c1.eu-west-1.rds.amazonaws.com:5433/s?auth=rds_iam",
            {"sslmode": "verify-full", "sslrootcert": "system"},
        ),
        ("postgresql://inlay@10.0.0.1/s?auth=rds_iam&region=eu-west-1&sslmode=require", {"sslmode": "require"}),
    ],
)
@pytest.mark.parametrize("session_token", [None, "to/ken=="])
def test_a_token_is_the_one_that_botocore_makes(
    url: str, tls: dict[str, str], session_token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if session_token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", session_token)
    now = botocore.auth.get_current_datetime()
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: now)
    found = filled(url)
    client = botocore.session.Session().create_client("rds", region_name="eu-west-1")
    assert found.password == client.generate_db_auth_token(found.host, found.port, found.user)
    query = parse_qs(urlsplit(f"https://{found.password}").query)
    assert query["X-Amz-Expires"] == ["900"]
    assert tls.items() <= found.options.items()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://u@h/s?auth=rds_iam&region=eu-west-1&ssl=off", "needs TLS"),
        ("postgresql://u@h/s?auth=rds_iam&region=eu-west-1&sslmode=prefer", "needs TLS"),
        ("mysql://h/s?auth=rds_iam&region=eu-west-1", "needs the user"),
        ("mysql://u:p@h/s?auth=rds_iam&region=eu-west-1", "a password and auth"),
        ("sqlite:///s.db?auth=rds_iam&region=eu-west-1", "is a file"),
    ],
)
def test_a_token_goes_to_a_server_over_tls_alone(url: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        filled(url)


def test_a_password_that_was_rotated_is_asked_for_again(mariadb: MariaDB) -> None:
    address = parse(mariadb.url("rotated"), Path())
    mariadb.sql("CREATE USER rotating IDENTIFIED BY 'first'", "GRANT ALL ON rotated.* TO rotating")
    shape = {"username": "rotating", "host": address.host, "port": address.port, "dbname": "rotated"}
    keep("rotating", {**shape, "password": "first"})
    database = Database(parse("mysql:///?secret=rotating&region=ap-northeast-1", Path()))
    for password in ("first", "second"):
        mariadb.sql(f"ALTER USER rotating IDENTIFIED BY '{password}'")
        keep("rotating", {**shape, "password": password})
        with database.connect() as con:
            assert con.execute("SELECT CURRENT_USER()").fetchone() == ("rotating@%",)
            assert password not in repr(con.address)
    mariadb.sql("ALTER USER rotating IDENTIFIED BY 'third'")
    with pytest.raises(DatabaseError) as raised:
        database.connect()
    assert raised.value.trouble is Trouble.DENIED
    assert "second" not in str(raised.value)
    mariadb.sql("DROP USER rotating")


def test_a_token_is_not_sent_to_a_server_without_tls(mariadb: MariaDB) -> None:
    address = parse(mariadb.url("plain"), Path())
    url = f"mysql://root@127.0.0.1:{address.port}/plain?auth=rds_iam&region=eu-west-1"
    for tls in ("", "&ssl=required"):
        with pytest.raises(DatabaseError) as raised:
            Database(parse(url + tls, Path())).connect()
        assert "SSL" in str(raised.value) or "CERTIFICATE" in str(raised.value)
        assert "X-Amz" not in str(raised.value)
