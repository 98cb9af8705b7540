"""`make example-nightly`: a month of nights on a private MariaDB, an S3 stand-in and a simulated model.

    the operator's database ──mariadb-dump──► S3 ──inlay load──► staging.tenants
                                                      │ inlay run: 2,001 lack a nationality
                                                      ▼
                                       staging.llm_enrichment_cache ──dbt──► silver

Every figure that is printed is read from the databases, from Inlay's ledger or from the simulator's; what document B
says stands beside it. The story ends with a list of what it has to be, and with exit code 1 where it is not.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tenants
from names import Crowd, guess

from inlay import project
from inlay.providers.prices import find_price
from inlay.testing import Price, Simulator
from inlay.testing.servers import MariaDB, find_program
from inlay.types import NANO

HERE = Path(__file__).parent
PLAY = HERE / ".play"
DECLARATION = HERE / "inlay.yaml"
BUCKET = "dumps"
# What document B says of the same nights.
B_CALLS_A_DAY, B_WITH_STORE_A_YEAR, B_WITHOUT_A_YEAR = 5, 3_826, 730_365


def say(text: str = "") -> None:
    """A line of the story."""
    print(text, flush=True)


def title(text: str) -> None:
    """The beginning of a night."""
    say()
    say(f"━━━ {text} " + "━" * max(0, 100 - len(text)))


class Play:
    """The stage: a MariaDB, a bucket, a model, and what the story has counted."""

    def __init__(self, server: MariaDB, s3: str, model: Simulator) -> None:
        self.server = server
        self.model = model
        self.s3 = s3
        self.checks: list[tuple[str, Any, Any]] = []
        self.nights: list[tuple[str, int, int, float]] = []  # day, targets, calls, dollars
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "INLAY_"))},
            "STAGING_URL": server.url("staging"),
            "MODEL_ENDPOINT": model.endpoints["bedrock"],
            "AWS_BEARER_TOKEN_BEDROCK": "a-key-of-the-play",
            "AWS_ACCESS_KEY_ID": "play",
            "AWS_SECRET_ACCESS_KEY": "play",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": s3,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "COLUMNS": "110",
        }
        os.environ.update(self.env)

    def run(self, *command: str, shown: str = "", only: str = "", may_fail: bool = False) -> str:
        """Run a command, and show it with what it said (of that only lines that match)."""
        say(f"$ {shown or ' '.join(command)}")
        done = subprocess.run(  # noqa: S603 (commands of the story)
            command, env=self.env, cwd=HERE, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for line in done.stdout.splitlines():
            if line.strip() and (not only or re.search(only, line)):
                say(f"  {line}")
        if done.returncode and not may_fail:
            if only:
                say(done.stdout)
            raise SystemExit(f"the command above ended with exit code {done.returncode}")
        return done.stdout

    def night(self, day: str, *, shown: str = "", only: str = "") -> str:
        """One night by the loader job; its calls and dollars are noted from Inlay's own ledger."""
        calls, dollars = self.paid()
        said = self.run(
            sys.executable, "loader.py", "--date", day, shown=shown or f"python loader.py --date {day}", only=only
        )
        self.note(day, calls, dollars)
        return said

    def note(self, day: str, calls: int, dollars: float) -> None:
        """Note a night: what was paid since."""
        now, spent = self.paid()
        plan = project.plan(DECLARATION)
        self.nights.append((day, plan.rows_selected, now - calls, spent - dollars))
        say(f"  → {now - calls:,} calls, ${spent - dollars:.4f}")

    def paid(self) -> tuple[int, float]:
        """Calls that were paid for and dollars so far, by Inlay's ledger; what rules gave is no call."""
        lines = [line for line in project.status(DECLARATION).ledger if line["input_tokens"]]
        return round(sum(line["calls"] for line in lines)), sum(line["cost_nusd"] for line in lines) / 1e9

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the staging database."""
        return list(self.server.sql("USE staging", query))

    def one(self, query: str) -> Any:
        """The only value of a query."""
        return self.sql(query)[0][0]

    def expect(self, what: str, found: Any, wanted: Any) -> None:
        """Note what has to be."""
        self.checks.append((what, found, wanted))

    # --- the operator's side

    def operator_writes(self, rows: Sequence[tenants.Row]) -> None:
        """Put tenants into the operator's own database."""
        import pymysql

        con = pymysql.connect(host="127.0.0.1", port=self.server.port, user="root", database="production")
        marks = ", ".join(["%s"] * len(tenants.COLUMNS))
        with con, con.cursor() as cursor:
            cursor.executemany(f"REPLACE INTO tenants ({', '.join(tenants.COLUMNS)}) VALUES ({marks})", rows)  # noqa: S608
            con.commit()

    def dump(self, day: str) -> None:
        """What the operator does every night: mariadb-dump, gzip, S3."""
        import boto3

        program = find_program("mariadb-dump")
        assert program is not None
        file = PLAY / f"gghouse_{day.replace('-', '')}.sql.gz"
        with file.open("wb") as out:
            dumped = subprocess.Popen(  # noqa: S603
                [program, "--no-defaults", "-h127.0.0.1", f"-P{self.server.port}", "-uroot", "production"],
                stdout=subprocess.PIPE,
            )
            subprocess.run(["gzip", "-1"], stdin=dumped.stdout, stdout=out, check=True)  # noqa: S607
            if dumped.wait():
                raise SystemExit("mariadb-dump failed")
        client = boto3.client("s3", endpoint_url=self.s3, region_name="us-east-1")
        client.upload_file(str(file), BUCKET, file.name)
        say(f"the operator's dump: s3://{BUCKET}/{file.name}, {file.stat().st_size / 1e6:.1f} MB")


def answer(request: Any) -> dict[str, Any]:
    """What the model says: it is the simulator, and knows names."""
    name = request.user.rsplit(": ", 1)[-1].strip()
    nation, sure = guess(name)
    return {"nationality": {"value": nation, "confidence": sure}, "nulls": []}


def list_price() -> dict[str, Price]:
    """The simulator charges what the list says, so that its books can be held against Inlay's."""
    found = find_price("bedrock", "anthropic.claude-haiku-5-5", None)
    assert found is not None
    rates = found.tiers[0]
    return {"*": Price(input_per_million=rates.input / NANO, output_per_million=rates.output / NANO)}


def main() -> int:
    """The month."""
    shutil.rmtree(PLAY, ignore_errors=True)
    PLAY.mkdir()
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "play")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "play")
    bucket = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    bucket.start()
    try:
        host, port = bucket.get_host_and_port()
        say("starting a private MariaDB, an S3 stand-in and a simulated model; nothing leaves this machine")
        with MariaDB(PLAY / "mariadb") as server, Simulator(answer=answer, latency=0.02, prices=list_price()) as model:
            play = Play(server, f"http://{host}:{port}", model)
            prepare(play)
            first_night(play)
            second_night(play)
            failed_night(play)
            thirtieth_night(play)
            name_change(play)
            namesakes(play)
            comparison(play)
            return verdict(play)
    finally:
        bucket.stop()


def prepare(play: Play) -> None:
    """The operator's database as it was on the first day."""
    import boto3

    boto3.client("s3", endpoint_url=play.s3, region_name="us-east-1").create_bucket(Bucket=BUCKET)
    play.server.url("production")
    play.server.sql("USE production", tenants.CREATE, tenants.CREATE_ROOMS)
    play.server.sql("USE production", "INSERT INTO rooms (house, number, rent) VALUES ('青山', '101', 68000)")
    play.operator_writes(list(tenants.first_day()))


def first_night(play: Play) -> None:
    """Load, look, run, hand on."""
    title("Day 1: everything is new")
    day = "2026-02-11"
    play.dump(day)
    play.run("inlay", "load", "--date", day)
    said = play.run("inlay", "plan")
    plan = project.plan(DECLARATION)
    play.expect("tenants", plan.rows_source, 50_425)
    play.expect("without a nationality, by reason", dict(plan.missing), {"null": 654, "empty": 545, "placeholder": 802})
    play.expect("the plan shows them", all(f"{count:,}" in said for count in (2001, 654, 545, 802)), True)
    calls, dollars = play.paid()
    play.run("inlay", "run", "--yes")
    play.note(day, calls, dollars)
    play.expect("day 1: calls", play.nights[-1][2], 2_001)
    play.expect("day 1: calls by the simulator's books", len(play.model.ledger), 2_001)
    first = [call.user_sha256 for call in play.model.ledger.calls[:200]]
    urgent = {
        name for (name,) in play.sql(f"SELECT full_name FROM tenants WHERE status IN {tenants.LIVING_HERE}")  # noqa: S608
    }
    play.expect("who lives here was asked first", asked_first(first, urgent), True)
    play.expect("answered", play.one("SELECT count(*) FROM llm_enrichment_cache"), 2_001)
    play.run(sys.executable, "silver.py", shown="python silver.py")
    play.expect("silver rows", play.one("SELECT count(*) FROM stg_tenants"), 50_425)
    play.expect(
        "no placeholder is left in silver", play.one("SELECT count(*) FROM stg_tenants WHERE nationality = 'レソト'"), 0
    )


def asked_first(digests: Sequence[str], urgent: set[str]) -> bool:
    """Whether these calls are all about people who live here, by the hashes in the simulator's books."""
    from inlay.testing.ledger import sha256_of

    prompt = "The nationality that the holder of this name most likely has: "
    known = {sha256_of(f"{prompt}{name}") for name in urgent} | {sha256_of(f"{prompt}{name}\n") for name in urgent}
    return sum(digest in known for digest in digests) >= 0.95 * len(digests)


def second_night(play: Play) -> None:
    """The table is dropped and loaded anew; the answers are where they were."""
    title("Day 2: the table is loaded anew")
    day = "2026-02-12"
    play.dump(day)
    play.night(day)
    play.expect("day 2: calls", play.nights[-1][2], 0)
    play.expect("answered", play.one("SELECT count(*) FROM llm_enrichment_cache"), 2_001)


def failed_night(play: Play) -> None:
    """A hundred new tenants, and a key that the provider no longer takes."""
    title("Day 29: 100 new tenants, and a night that fails")
    day = "2026-03-11"
    play.operator_writes(tenants.newcomers(tenants.TENANTS + 1, 100, 5, seed=29))
    play.dump(day)
    play.model.control(api_keys=["another-key"])
    play.night(day)
    play.model.control(api_keys=None)
    play.expect("day 29: answers paid for", play.nights[-1][3], 0.0)
    play.expect("day 29: nothing is lost", play.one("SELECT count(*) FROM llm_enrichment_cache"), 2_001)
    play.expect("day 29: silver was built all the same", play.one("SELECT count(*) FROM stg_tenants"), 50_525)


def thirtieth_night(play: Play) -> None:
    """The key is mended: five calls."""
    title("Day 30: the key is mended")
    day = "2026-03-12"
    play.dump(day)
    before = len([call for call in play.model.ledger.calls if call.status == 200])
    play.night(day)
    after = len([call for call in play.model.ledger.calls if call.status == 200])
    play.expect("day 30: calls that were answered", after - before, 5)
    play.expect("day 30: answered", play.one("SELECT count(*) FROM llm_enrichment_cache"), 2_006)


def name_change(play: Play) -> None:
    """Somebody marries: one call, and an event."""
    title("Day 31: a name changes")
    day = "2026-03-13"
    number, old = play.sql("SELECT id, full_name FROM tenants WHERE nationality = '' ORDER BY id LIMIT 1")[0]
    play.server.sql(
        "USE production",
        f"UPDATE tenants SET full_name = 'Éloïse Lefèvre-佐藤', updated_at = now() WHERE id = {int(number)}",  # noqa: S608
    )
    say(f"tenant {number} was {old} and is now Éloïse Lefèvre-佐藤")
    play.dump(day)
    play.night(day)
    events = [json.loads(line) for line in (PLAY / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    for change in events[-1]["changes"]:
        for field in change["fields"]:
            now, sure = field["after"], field["after_confidence"]
            say(f"  event: tenant {change['key']}: {field['field']} {field['before']} → {now} ({sure})")
    play.expect("day 31: calls", play.nights[-1][2], 1)
    play.expect("day 31: events", len(events), 1)
    history = play.one(f"SELECT count(*) FROM llm_enrichment_cache_history WHERE id = {int(number)}")  # noqa: S608
    play.expect("day 31: both answers are in the history", history, 2)


def namesakes(play: Play) -> None:
    """Two tenants with one name, and a company."""
    title("Day 32: two tenants of one name, and a company")
    day = "2026-03-14"
    first = tenants.TENANTS + 101
    twins = tenants.newcomers(first, 3, 3, seed=32)
    name = twins[0][1:4]
    company = Crowd(seed=5).company()
    rows = [twins[0], (twins[1][0], *name, *twins[1][4:]), (twins[2][0], company.last_name, "", company.full_name,
                                                            *twins[2][4:])]  # fmt: skip
    play.operator_writes(rows)
    say(f"tenants {first} and {first + 1} are both called {name[2]}; tenant {first + 2} is {company.full_name}")
    play.dump(day)
    play.night(day)
    play.expect("day 32: calls", play.nights[-1][2], 1)
    both = play.sql(
        f"SELECT llm_nationality, llm_nationality_source FROM llm_enrichment_cache WHERE id IN ({first}, {first + 1})"  # noqa: S608
    )
    play.expect("day 32: two rows with one answer", (len(both), len(set(both))), (2, 1))
    firm = play.sql(
        "SELECT llm_nationality, llm_nationality_null_reason, llm_nationality_source FROM llm_enrichment_cache "  # noqa: S608
        f"WHERE id = {first + 2}"
    )
    play.expect("day 32: the company, by a rule", firm, [(None, "not_applicable", "rule")])


def comparison(play: Play) -> None:
    """What the store saves, from the ledger; document B's own figures beside it."""
    title("What it cost")
    say(f"  {'night':<12}{'lack a nationality':>20}{'calls':>10}{'dollars':>12}{'without a store':>18}")
    calls, dollars = play.paid()
    each = dollars / calls
    for day, targets, paid, spent in play.nights:
        say(f"  {day:<12}{targets:>20,}{paid:>10,}{spent:>12.4f}{targets:>12,} calls")
    without = sum(targets for _, targets, _, _ in play.nights)
    say(f"  {'':<12}{'':>20}{calls:>10,}{dollars:>12.4f}{without:>12,} calls")
    say()
    say(f"  a call costs ${each:.6f} by the ledger (document B reckons with $0.001)")
    first = play.nights[0][1]
    year = first + B_CALLS_A_DAY * 365
    rows = (
        ("calls a year without a store", first * 365, B_WITHOUT_A_YEAR),
        ("calls a year with it, 5 new a day", year, B_WITH_STORE_A_YEAR),
    )
    say()
    say(f"  {'':<36}{'measured':>14}{'document B':>14}{'at the measured price':>24}")
    for what, found, said in rows:
        say(f"  {what:<36}{found:>14,}{said:>14,}{'$' + format(found * each, ',.2f'):>24}")
    saved = 1 - year / (first * 365)
    say(f"  {'saved':<36}{saved:>14.1%}{'99.5%':>14}{'$' + format((first * 365 - year) * each, ',.2f'):>24}")
    play.expect("calls a year without a store", first * 365, B_WITHOUT_A_YEAR)
    play.expect("calls a year with it", year, B_WITH_STORE_A_YEAR)
    play.expect("saved", f"{saved:.1%}", "99.5%")
    billed = play.model.ledger.billed_nusd
    say()
    refused = sum(call.status != 200 for call in play.model.ledger.calls)
    say(f"  by the simulator's own books: {len(play.model.ledger) - refused:,} answered, {refused} refused; ${billed / 1e9:.4f}")
    play.expect("billed as booked", round(billed / 1e9, 6), round(dollars, 6))


def verdict(play: Play) -> int:
    """What the story had to be."""
    title("What had to be")
    wrong = 0
    for what, found, wanted in play.checks:
        fits = found == wanted
        wrong += not fits
        say(f"  {'✓' if fits else '✗'} {what}: {found}" + ("" if fits else f" (wanted {wanted})"))
    say()
    say("  examples/nightly/.play holds the dumps, the events and the dbt project; the tables went with MariaDB.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
