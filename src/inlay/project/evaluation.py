"""What an evaluation takes and gives: plain values, and the texts of its report for files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from inlay.errors import SpecError
from inlay.planning.plan import Plan
from inlay.project.report import Report
from inlay.publish.write import check_target, write_text
from inlay.quality.facts import FieldReport, Sample, Target
from inlay.quality.sections import Section, markdown, of_field, page, sampled
from inlay.reporting.words import counted, dollars, when


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What to hold answers against. Either `shadow` rows whose value is known, or a `golden` file.

    `fields` says which column holds what a field is to be (left out: `original`, else `select.missing`, else a column
    of that name). `sample` is stratified (rare values are seen) or proportional, `seed` chooses other rows; `where`
    takes the place of `select.where`. `synonyms` is a CSV file of texts that mean the same, `tolerance` how far numbers
    may be apart, and `wrong` how many wrong rows the report shows.
    """

    shadow: int | None = None
    golden: str | Path | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    sample: str = "stratified"
    seed: int = 0
    where: str | None = None
    synonyms: str | Path | None = None
    tolerance: float = 0.0
    wrong: int = 10


@dataclass(frozen=True, slots=True)
class EvalPlan:
    """What an evaluation would ask, and at what price."""

    plan: Plan
    sample: Sample
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class EvalReport:
    """How good the answers are. `run` is the paid part; `rows` holds every judged row as plain values, for a file."""

    enrichment: str
    at: float
    sample: Sample
    fields: tuple[FieldReport, ...]
    run: Report
    rows: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def exit_code(self) -> int:
        """That of the run: 0 done; 1 done, some cells failed; 3 stopped, and the same command goes on."""
        return self.run.exit_code

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return {
            "enrichment": self.enrichment,
            "at": self.at,
            "exit_code": self.exit_code,
            "sample": asdict(self.sample),
            "fields": [each.to_json() for each in self.fields],
            "run": self.run.to_json(),
        }

    def sections(self) -> Iterator[Section]:
        """The report in words, for a terminal or a page."""
        calls, cost = self.run.summary.get("calls", 0), self.run.summary.get("cost_usd", 0.0)
        paid = f"{counted(calls, 'call')}, {dollars(cost)}" if calls else "nothing had to be asked of a provider"
        yield Section("", (sampled(self.sample), f"this time: {paid}"))
        weighted = len({row["weight"] for row in self.rows}) > 1
        for each in self.fields:
            yield from of_field(each, weighted=weighted)

    def write(self, path: str | Path) -> Path:
        """Write it to a file, whole or not at all: .md, .html or .json the report, .csv every row. The path.

        Raises TargetError, and SpecError for another ending."""
        kind = check_out(path)
        title = f"{self.enrichment}: accuracy, {when(self.at)}"
        if kind == ".csv":
            text = self.to_csv()
        elif kind == ".json":
            text = json.dumps(self.to_json(), ensure_ascii=False, indent=2, default=str) + "\n"
        else:
            text = (markdown if kind == ".md" else page)(title, self.sections())
        return write_text(path, text)

    def to_csv(self) -> str:
        """Every judged row: key, inputs, known and predicted value, confidence, whether it is right."""
        out = io.StringIO()
        if self.rows:
            names = list(dict.fromkeys(name for row in self.rows for name in row))
            writer = csv.DictWriter(out, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        return out.getvalue()


FILES = (".md", ".html", ".csv", ".json")


def check_out(path: str | Path) -> str:
    """The ending of a file that a report can be written to. Raises SpecError, or TargetError for such a place."""
    kind = Path(path).suffix.lower()
    if kind not in FILES:
        raise SpecError(
            f"cannot write an evaluation to {str(path)!r}", key="--out", remedy=f"end it in {', '.join(FILES)}"
        )
    check_target(path)
    return kind
