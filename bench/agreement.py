"""How far the lexical model agrees with people: coverage and agreement with gold labels, beside two baselines.

    python bench/agreement.py DATA_FOLDER

DATA_FOLDER holds jobs_skillspan, intents_banking77 and hotel_requests_nlupp. Nothing is fitted: the descriptions below
are written from the label names and the data set's own ontology, and no gold label is read before an answer is given.
`majority` always answers the commonest gold label (it has seen the gold labels, the model has not); `random` draws
evenly, with a fixed seed. Coverage is the share of rows with a value; agreement counts every row that has a gold label,
a null as wrong.
"""

from __future__ import annotations

import csv
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from inlay.engine.answer import AnswerReader
from inlay.engine.ask import answer_schema, system_prompt
from inlay.providers.lexical import VERSION, Lexical
from inlay.spec.fields import FieldSpec
from inlay.types import CallShape, FieldAnswer

SEED = 20_250_901


def asker(fields: Mapping[str, FieldSpec]) -> Callable[[Mapping[str, str]], dict[str, FieldAnswer]]:
    """A pass without a project around it: the same schema, model and reader that a run uses."""
    shape = CallShape(VERSION, system_prompt(fields), answer_schema(fields), "answer", 4096)
    answer, reader = Lexical().answerer(shape), AnswerReader(dict(fields))
    return lambda texts: dict(reader.read(answer(texts).text, texts).fields)


def row(name: str, *cells: str) -> None:
    print(f"  {name:<34}" + "".join(f"{cell:>12}" for cell in cells))


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def micro_f1(pairs: Sequence[tuple[AbstractSet[str], AbstractSet[str]]]) -> str:
    """Micro-averaged F1 of (given, gold) sets."""
    right = sum(len(given & gold) for given, gold in pairs)
    return percent(2 * right, sum(len(given) + len(gold) for given, gold in pairs))


# --- 77 intents ------------------------------------------------------------------------------------------------------


def intents(folder: Path) -> None:
    with (folder / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = tuple(json.loads((folder / "categories.json").read_text(encoding="utf-8")))
    ask = asker(
        {"intent": FieldSpec(type="enum", values=labels, description="What the customer wants.", confidence=True)}
    )
    started = time.process_time()
    answers = [ask({"text": one["text"]})["intent"] for one in rows]
    spent = time.process_time() - started
    gold = [one["category"] for one in rows]
    covered = sum(answer.value is not None for answer in answers)
    right = sum(answer.value == label for answer, label in zip(answers, gold, strict=True))
    print(f"\nintents_banking77: {len(rows)} rows, one enum of {len(labels)} values, {spent:.1f} s CPU with reading")
    row("", "coverage", "accuracy", "when given", "majority", "random")
    row(
        "intent",
        percent(covered, len(rows)),
        percent(right, len(rows)),
        percent(right, covered),
        percent(Counter(gold).most_common(1)[0][1], len(rows)),
        percent(1, len(labels)),
    )
    for low, high in ((0.3, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.91)):
        band = [
            answer.value == label
            for answer, label in zip(answers, gold, strict=True)
            if answer.value is not None and low <= (answer.confidence or 0) < high
        ]
        row(f"  confidence {low:.1f} to {high:.1f}", str(len(band)), percent(sum(band), len(band)))


# --- hotel requests --------------------------------------------------------------------------------------------------


# The frame of each sentence in the ontology: "is the intent asking about ...?".
_ONTOLOGY_FRAME = re.compile(r"^is the intent (?:to |asking )*|\?$|\b(?:ask|talk|about|something related to|some)\b")


def hotels(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "hotels.jsonl").read_text(encoding="utf-8").splitlines()]
    ontology = json.loads((folder / "ontology.json").read_text(encoding="utf-8"))["intents"]
    told = {
        name: re.sub(
            r"^is the intent (?:to |asking )*|\?$|\b(?:ask|talk|about|something related to|some)\b",
            "",
            entry["description"],
        )
        for name, entry in ontology.items()
        if {"general", "hotels"} & set(entry["domain"])
    }
    description = "; ".join(f"{name}: {' '.join(words.split())}" for name, words in told.items())
    item = FieldSpec(type="enum", values=tuple(told))
    ask = asker({"intents": FieldSpec(type="list", items=item, description=description)})
    started = time.process_time()
    answers = [set(ask({"text": one["text"]})["intents"].value or ()) for one in rows]
    spent = time.process_time() - started
    gold = [set(one["intents"]) for one in rows]
    counts = Counter(label for labels in gold for label in labels)
    width = round(sum(map(len, gold)) / len(gold)) or 1
    common = {label for label, _ in counts.most_common(width)}
    draw = random.Random(SEED)
    drawn = [set(draw.sample(sorted(told), width)) for _ in gold]
    print(f"\nhotel_requests_nlupp: {len(rows)} rows, list of {len(told)} labels, {spent:.1f} s CPU with reading")
    row("micro-F1", "coverage", "lexical", "majority", "random")
    row(
        "all intents",
        percent(sum(map(bool, answers)), len(rows)),
        *(micro_f1(list(zip(given, gold, strict=True))) for given in (answers, [common] * len(gold), drawn)),
    )
    for label in ("restaurant", "spa", "room_service", "gym", "wifi", "pets", "parking", "swimming_pool"):
        pairs = [(given & {label}, true & {label}) for given, true in zip(answers, gold, strict=True)]
        always = [({label}, true & {label}) for true in gold]
        some = [(given & {label}, true & {label}) for given, true in zip(drawn, gold, strict=True)]
        row(f"  {label} ({counts[label]} rows)", "", micro_f1(pairs), micro_f1(always), micro_f1(some))


# --- job postings ----------------------------------------------------------------------------------------------------

LEVELS = ("Student", "Junior", "Mid-Level", "Senior", "Lead", "Manager")
JOB_PASSES: dict[str, dict[str, FieldSpec]] = {
    "extract": {
        "job_type": FieldSpec(
            type="enum",
            values=("full_time", "part_time", "contract", "internship"),
            description="full_time: permanent; contract: freelance, fixed-term; internship: intern, working student",
        ),
        "remote": FieldSpec(type="boolean", description="Whether remote work is possible, also called home office."),
        "relocation_support": FieldSpec(type="boolean", description="Whether help with relocation is offered."),
        "technologies": FieldSpec(
            type="list",
            max_items=40,
            description="Tools and technologies, listed in sections such as requirements, qualifications, skills, "
            "your profile, you have, what you bring, nice to have, tech stack.",
        ),
        "soft_skills": FieldSpec(
            type="list", max_items=20, description="Personal skills, such as communication, teamwork, collaboration."
        ),
        "years_experience_min": FieldSpec(type="integer", min=0, max=40, description="Fewest years of experience."),
        "education_level": FieldSpec(
            type="enum",
            values=("vocational", "bachelor", "master", "doctorate"),
            description="vocational: apprenticeship; bachelor: BSc, degree; master: MSc; doctorate: PhD",
        ),
        "salary_min": FieldSpec(type="number", description="Lowest pay."),
        "salary_max": FieldSpec(type="number", description="Highest pay."),
        "start_date": FieldSpec(type="date", description="First day of work."),
    },
    "infer": {
        "experience_levels": FieldSpec(
            type="list",
            items=FieldSpec(type="enum", values=LEVELS),
            description="Levels that may apply. Student: intern, trainee; Junior: graduate, entry level; Senior: "
            "expert, several years of experience; Lead: principal, staff engineer, lead a team; Manager: head of",
            confidence=True,
            evidence=True,
        ),
        "company_type": FieldSpec(
            type="enum",
            values=("Private", "Public", "VC Funded"),
            description="Who owns it. Public: listed, stock exchange; VC Funded: venture capital, start-up, "
            "funding round",
            confidence=True,
            evidence=True,
        ),
        "management": FieldSpec(
            type="boolean", description="Whether people report to this role, such as lead a team, direct reports.",
            confidence=True, evidence=True,
        ),
        "on_call": FieldSpec(type="boolean", description="Whether there is on-call duty.", evidence=True),
        "agile": FieldSpec(type="boolean", description="Agile work, such as scrum, kanban, sprints.", evidence=True),
    },
    "analyse": {
        "benefits": FieldSpec(
            type="list",
            items=FieldSpec(
                type="enum", values=("learning", "pension", "health", "flexible_hours", "equity", "holiday", "food")
            ),
            description="learning: training, conferences, courses; pension: retirement; health: health insurance, "
            "gym; flexible_hours: flexible working hours, flexitime; equity: stock options, shares; holiday: vacation, "
            "paid leave; food: lunch, snacks, fruit, drinks",
            evidence=True,
        ),
        "international": FieldSpec(type="boolean", description="An international team, such as nationalities, global."),
        "languages": FieldSpec(
            type="list",
            items=FieldSpec(type="enum", values=("English", "German", "French", "Danish", "Dutch", "Spanish")),
            description="Languages that are asked for.",
        ),
        "culture": FieldSpec(type="string", description="What the company says of its culture and values."),
        "summary": FieldSpec(type="text", description="A summary of the posting.", max_length=600, evidence=True),
    },
}  # fmt: skip


_HEADER = re.compile(r"(?s)(?:Date posted:|Job description:).{0,2500}?\bJob [Dd]escription\b(?!:)")
_LEFT_OVER = re.compile(r"(?i)\b(?:job type|experience level|company type|company size|technologies)\s*:")


def without_header(text: str) -> str:
    """The posting without the board's header lines, which hold the gold values."""
    return _HEADER.sub("\n", text, count=1)


def jobs(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines()]
    asks = [asker(fields) for fields in JOB_PASSES.values()]
    texts = [{"title": one["title"] or "", "text": without_header(one["text"])} for one in rows]
    kept = [i for i, record in enumerate(texts) if not _LEFT_OVER.search(record["text"])]
    left_out = len(rows) - len(kept)
    rows, texts = [rows[i] for i in kept], [texts[i] for i in kept]
    started = time.process_time()
    answers = [{name: answer for ask in asks for name, answer in ask(record).items()} for record in texts]
    spent = time.process_time() - started
    names = [name for fields in JOB_PASSES.values() for name in fields]
    print(
        f"\njobs_skillspan: {len(rows)} postings of {sum(len(r['text']) for r in texts) // len(rows)} characters, "
        f"{len(names)} fields in {len(asks)} passes, {1000 * spent / len(rows):.1f} ms CPU a posting with reading"
    )
    print(f"  ({left_out} postings left out: their header, which holds gold values, could not be cut off)")
    row("coverage")
    for name in names:
        given = [one[name] for one in answers if one[name].value is not None]
        quotes = [answer.evidence for answer in given if answer.evidence is not None]
        found = percent(sum(quote.verified for quote in quotes), len(quotes))
        row(f"  {name}", percent(len(given), len(rows)), f"quotes {found}" if quotes else "")
    _job_labels(rows, answers)
    _job_spans(rows, texts, answers)


def _job_labels(rows: list[dict[str, Any]], answers: list[dict[str, FieldAnswer]]) -> None:
    row("agreement with header fields", "rows", "lexical", "majority", "random")
    draw = random.Random(SEED)
    for name, header, labels in (("job_type", "job_type", 4), ("company_type", "company_type", 3)):
        pairs = [
            (answer[name].value, one["header_fields"][header].lower().replace("-", "_").replace("intern", "internship"))
            for one, answer in zip(rows, answers, strict=True)
            if one["header_fields"].get(header)
        ]
        right = sum((value or "").lower() == gold for value, gold in pairs)
        most = Counter(gold for _, gold in pairs).most_common(1)[0][1]
        row(
            f"  {name} (accuracy)",
            str(len(pairs)),
            percent(right, len(pairs)),
            percent(most, len(pairs)),
            percent(1, labels),
        )
    pairs_of_sets = [
        (set(answer["experience_levels"].value or ()), {level for level in LEVELS if level in gold})
        for one, answer in zip(rows, answers, strict=True)
        if (gold := one["header_fields"].get("experience_level"))
    ]
    common = {Counter(level for _, gold in pairs_of_sets for level in gold).most_common(1)[0][0]}
    row(
        "  experience_levels (micro-F1)",
        str(len(pairs_of_sets)),
        micro_f1(pairs_of_sets),
        micro_f1([(common, gold) for _, gold in pairs_of_sets]),
        micro_f1([({draw.choice(LEVELS)}, gold) for _, gold in pairs_of_sets]),
    )


def _job_spans(rows: list[dict[str, Any]], texts: list[dict[str, str]], answers: list[dict[str, FieldAnswer]]) -> None:
    """Recall and precision of listed skills against marked spans; an item counts when it and a span hold each other."""
    row("agreement with marked spans", "rows", "recall", "precision", "majority", "random")
    draw = random.Random(SEED)
    for name, key in (("technologies", "knowledge_spans"), ("soft_skills", "skill_spans")):
        gold = [
            {span.casefold() for span in one[key] if span.casefold() in record["text"].casefold()}
            for one, record in zip(rows, texts, strict=True)
        ]
        given = [{item.casefold() for item in answer[name].value or ()} for answer in answers]
        width = max(1, round(sum(map(len, given)) / len(given)))
        counts = Counter(span for spans in gold for span in spans)
        common = {span for span, _ in counts.most_common(width)}
        drawn = [
            set(draw.sample(words, min(len(words), width)))
            if (words := sorted(set(one["text"].casefold().split())))
            else set()
            for one in texts
        ]
        total = sum(map(len, gold))
        right = [sum(map(_met, spans, [items] * len(spans))) for spans, items in zip(gold, given, strict=True)]
        precise = sum(_met(item, spans) for items, spans in zip(given, gold, strict=True) for item in items)
        row(
            f"  {name}",
            str(sum(map(bool, gold))),
            percent(sum(right), total),
            percent(precise, sum(map(len, given))),
            percent(sum(_met(span, common) for spans in gold for span in spans), total),
            percent(sum(_met(span, some) for spans, some in zip(gold, drawn, strict=True) for span in spans), total),
        )


def _met(span: str, items: set[str]) -> bool:
    """Whether one of the items is this span, or one is the other with up to three words more."""
    if span in items:
        return True
    words = span.split()
    for item in items:
        other = item.split()
        shorter, longer = (words, other) if len(words) <= len(other) else (other, words)
        if len(longer) - len(shorter) <= 3 and any(
            longer[i : i + len(shorter)] == shorter for i in range(len(longer) - len(shorter) + 1)
        ):
            return True
    return False


def main() -> int:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print(__doc__)
        return 2
    folder = Path(sys.argv[1])
    print(f"model {VERSION}")
    jobs(folder / "jobs_skillspan")
    intents(folder / "intents_banking77")
    hotels(folder / "hotel_requests_nlupp")
    return 0


if __name__ == "__main__":
    sys.exit(main())
