"""Where dumps are found: files, days in their names, and S3 (moto's server stands in for it)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dumps_scene import FOOT, HEAD, TENANTS, rows

from inlay import project
from inlay.dumps import places
from inlay.errors import SourceError, SpecError
from inlay.spec.load import load_text

DAY = dt.date(2026, 2, 11)
SHOP = "shop_{date:%Y%m%d}.sql.gz"


def test_a_day_is_found_by_name(tmp_path: Path) -> None:
    for day in ("20260201", "20260209", "20260210", "20260399", "2026021"):
        (tmp_path / f"shop_{day}.sql.gz").touch()
    assert places.latest(SHOP, tmp_path) == ("shop_20260210.sql.gz", dt.date(2026, 2, 10))
    assert places.of_day(SHOP, tmp_path, dt.date(2026, 2, 9)) == "shop_20260209.sql.gz"
    with pytest.raises(SourceError) as caught:
        places.of_day(SHOP, tmp_path, DAY)
    assert "shop_20260211.sql.gz: there is no dump of 2026-02-11" in str(caught.value)
    assert "shop_20260201.sql.gz, shop_20260209.sql.gz, shop_20260210.sql.gz" in str(caught.value)
    with pytest.raises(SourceError, match="no dump of any day"):
        places.latest("other_{date}.sql", tmp_path)


def test_a_day_may_stand_in_folders_too(tmp_path: Path) -> None:
    for name in ("2026/02/d_2026-02-10.sql", "2026/01/d_2026-02-11.sql", "2025/12/d_2025-12-31.sql"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    pattern = "{date:%Y}/{date:%m}/d_{date}.sql"
    assert places.latest(pattern, tmp_path)[0] == "2026/02/d_2026-02-10.sql"


@pytest.mark.parametrize("form", ["%H", "%Y%q", "today", "%"])
def test_a_day_is_written_with_known_letters(tmp_path: Path, form: str) -> None:
    with pytest.raises(SpecError, match=r"the day in load\.dump"):
        places.latest(f"d_{{date:{form}}}.sql", tmp_path)


def test_whose_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Clock:
            return cls(2026, 2, 10, 22, 0, tzinfo=dt.UTC).astimezone(tz)  # type: ignore[return-value]

    monkeypatch.setattr("inlay.project.dumps.dt.datetime", Clock)
    (tmp_path / "s_20260211.sql").write_text(HEAD + TENANTS + FOOT, encoding="utf-8")
    spec = DECLARATION.replace("DUMP", "s_{date:%Y%m%d}.sql")
    report = project.load_dump(load_text(spec.replace("UTC", "Asia/Tokyo"), folder=tmp_path))
    assert report.dump == "s_20260211.sql"
    with pytest.raises(SourceError, match="no dump of 2026-02-10"):
        project.load_dump(load_text(spec, folder=tmp_path))


DECLARATION = """
name: n
source: {connection: "sqlite:///staging.db", table: tenants, key: id}
load: {dump: "DUMP", protect: [precious], time_zone: UTC}
passes: [{name: p, model: lexical, prompt: "{{ name }}", fields: {x: string}}]
output: {table: staging.answers}
"""


def test_a_declaration_says_what_where_to_and_what_stays(tmp_path: Path) -> None:
    more = "".join(f"CREATE TABLE {name} (a int);\n" for name in ("precious", "answers", "answers_history", "free"))
    (tmp_path / "d.sql").write_text(HEAD + TENANTS + more + FOOT, encoding="utf-8")
    report = project.load_dump(load_text(DECLARATION.replace("DUMP", "d.sql"), folder=tmp_path))
    assert [table.name for table in report.tables] == ["tenants", "free"]
    assert dict(report.skipped) == dict.fromkeys(("precious", "answers", "answers_history"), "protected")
    assert rows(f"sqlite:///{tmp_path}/staging.db", "SELECT count(*) FROM tenants") == [(3,)]
    assert report.to_json()["rows"] == 3


def test_the_tables_of_a_store_stay_whatever_they_begin_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_URL", "mysql://u:p@h/staging?prefix=Kept_")
    more = "".join(f"CREATE TABLE {name} (a int);\n" for name in ("kept_answers", "inlay_answers", "keptalso"))
    (tmp_path / "d.sql").write_text(HEAD + TENANTS + more + FOOT, encoding="utf-8")
    text = DECLARATION.replace("DUMP", "d.sql") + "store: ${STORE_URL}\n"
    report = project.load_dump(load_text(text, folder=tmp_path))
    assert dict(report.skipped) == dict.fromkeys(("kept_answers", "inlay_answers"), "protected")


def test_mistakes_around_a_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.sql").write_text(TENANTS, encoding="utf-8")
    for keys, says in (
        ({"dump": "d.sql"}, "say which database"),
        ({"dump": "d.sql", "into": "${NO_SUCH_VARIABLE}"}, "NO_SUCH_VARIABLE"),
        ({"dump": "d.sql", "into": "sqlite:///x.db", "date": "2026-02-11"}, "no day to choose"),
        ({"dump": "d_{date}.sql", "into": "sqlite:///x.db", "date": "soon"}, "is not a day"),
        ({"dump": "e.sql", "into": "sqlite:///x.db"}, "cannot be read"),
        ({"dump": ".", "into": "sqlite:///x.db"}, "is a folder"),
        ({"dump": "https://x/y.sql", "into": "sqlite:///x.db"}, "a path or s3://"),
        ({"dump": "s3://only", "into": "sqlite:///x.db"}, "names no object"),
        ({"dump": "d.sql", "into": "mysql://h"}, "names no schema"),
    ):
        with pytest.raises((SpecError, SourceError), match=says):
            project.load_dump(**keys)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(SpecError, match="names no dump"):
        project.load_dump(load_text(DECLARATION.replace("load:", "#")))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 of moto's, in this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_dumps_in_s3(s3: str, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path], tmp_path: Path) -> None:
    import boto3

    for name, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "ENDPOINT_URL": s3,
        "REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="dumps")
    for day in ("20260209", "20260210"):
        body = write(TENANTS.replace("O\\'Brien", day), "x.sql.gz").read_bytes()
        client.put_object(Bucket="dumps", Key=f"shop/shop_{day}.sql.gz", Body=body)
    client.close()
    url = f"sqlite:///{tmp_path}/s.db"
    pattern = f"s3://dumps/shop/{SHOP}"
    report = project.load_dump(dump=pattern, date="latest", into=url)
    assert report.dump == "s3://dumps/shop/shop_20260210.sql.gz"
    assert rows(url, "SELECT name FROM tenants WHERE id = 2") == [("20260210",)]
    with pytest.raises(SourceError, match="no dump of 2026-02-11"):
        project.load_dump(dump=pattern, date="2026-02-11", into=url)
    with pytest.raises(SourceError, match="there is no such object"):
        project.load_dump(dump="s3://dumps/none.sql", into=url)
    with pytest.raises(SourceError, match="there is no such object"):
        project.load_dump(dump="s3://nowhere/none.sql", into=url)


def test_a_download_that_breaks_off_goes_on_where_it_was(
    s3: str, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path], tmp_path: Path
) -> None:
    import boto3

    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="broken")
    client.put_object(Bucket="broken", Key="d.sql", Body=write(TENANTS).read_bytes())
    client.close()
    monkeypatch.setattr(places, "CHUNK", 100)
    with places.opened("s3://broken/d.sql", tmp_path) as dump:
        stream = dump._stream
        body, reads = stream._body, [0]  # type: ignore[attr-defined]

        class Breaking:
            def read(self, most: int) -> bytes:
                reads[0] += 1
                if reads[0] == 3:
                    raise ConnectionError("broken")
                return body.read(most)

            def close(self) -> None:
                body.close()

        stream._body = Breaking()  # type: ignore[attr-defined]
        assert b"".join(dump.chunks()) == write(TENANTS).read_bytes()
