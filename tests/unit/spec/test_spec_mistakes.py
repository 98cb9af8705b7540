"""Every mistake in a declaration has its sentence, its line and its remedy; the texts here are the golden ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inlay.errors import SpecError
from inlay.spec.load import load, load_text

BASE = """\
name: a
source: {files: a.csv, key: id}
passes:
  - name: read
    prompt: "{{ text }}"
    fields:
      stars: integer
"""


def mistakes(text: str, *, folder: str | Path = ".", env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_text(text, folder=folder, file="a.yaml", env=env or {})
    assert all(problem.file for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


def only(text: str, *, folder: str | Path = ".", env: dict[str, str] | None = None) -> str:
    found = mistakes(text, folder=folder, env=env)
    assert len(found) == 1, found
    return found[0]


PASS_KEYS = (
    "name, prompt, fields, rules, model, models, escalate_below, accept_above, fuse, pack, untrusted, endpoint, "
    "api_key_env, region, wire, inputs, prefix, normalize, temperature, max_output_tokens, options, prices, abilities, "
    "priced_as, prompt_file, ttl"
)
FIELD_TYPES = "string, text, integer, number, boolean, date, datetime, enum, list, object, list[string], "

# what is appended to BASE -> the whole message
AFTER = {
    "mode: batches": "a.yaml:8: mode: expected one of live, batch, auto; got 'batches'\n  → did you mean `batch`?",
    "batch: {bucket: Caps}": "a.yaml:8: batch.bucket: 'Caps' is not an S3 bucket: 3 to 63 lower-case "
    "letters, digits, - and .",
    "limits: {concurency: 5}": "a.yaml:8: limits.concurency: unknown key `concurency`\n"
    "  → did you mean `concurrency`? (allowed here: concurrency, requests_per_second, requests_per_minute, "
    "tokens_per_minute, timeout_s)",
    "limits:\n  concurrency: many": "a.yaml:9: limits.concurrency: expected a whole number, got 'many'",
    "limits:\n  concurrency: 1.5": "a.yaml:9: limits.concurrency: expected a whole number, got '1.5'",
    "limits:\n  concurrency: true": "a.yaml:9: limits.concurrency: expected a whole number, got 'true'",
    "limits:\n  concurrency: [1]": "a.yaml:9: limits.concurrency: expected a whole number, got a list",
    "limits: {concurrency: 0}": "a.yaml:8: limits.concurrency: must be 1 or more, got '0'",
    "limits: {concurrency: 20000}": "a.yaml:8: limits.concurrency: must be 10000 or less, got '20000'",
    "limits: {timeout_s: 0}": "a.yaml:8: limits.timeout_s: must be more than 0, got '0'",
    "limits: {requests_per_second: fast}": "a.yaml:8: limits.requests_per_second: expected a number, got 'fast'",
    "limits: 5": "a.yaml:8: limits: expected keys and values, got '5'",
    "budget: lots": "a.yaml:8: budget: expected a number, got 'lots'",
    "budget: inf": "a.yaml:8: budget: expected a number, got 'inf'",
    "budget: {usd: 1, per: dya}": "a.yaml:8: budget.per: expected one of run, day, month, total; got 'dya'\n"
    "  → did you mean `day`?",
    "output: out.xlsx": "a.yaml:8: output: must end in .parquet, .csv or .jsonl",
    "output: {evidence: maybe}": "a.yaml:8: output.evidence: expected true or false, got 'maybe'",
    "output: {columns: id}": "a.yaml:8: output.columns: expected a list, got 'id'\n  → write it as a list: [id]",
    "select: {placeholders: [null]}": "a.yaml:8: select.placeholders[0]: expected text, got nothing\n"
    "  → write the text, in quotes if it is a word like null",
    "name: b": "a.yaml:8: name: `name` is given twice\n  → it already stands in line 1; keep one",
    "store: ${STORE}": "a.yaml:8: store: the environment variable `STORE` is not set\n"
    "  → set it, or give a default: ${STORE:-…}",
    "store: ${A B}": "a.yaml:8: store: `${A B}` is not a variable\n"
    "  → write ${NAME} or ${NAME:-default}; $${ for a literal ${",
    "store: '${A:-${B}}'": "a.yaml:8: store: `${A:-${B}` is not a variable\n"
    "  → write ${NAME} or ${NAME:-default}; $${ for a literal ${",
    "limits: {concurrency: ${N}}": "a.yaml:8: not valid YAML: expected ',' or '}', but got '{'\n"
    '  → inside { } or [ ] a variable needs quotes: "${NAME}"',
    "---\nname: b": "a.yaml:8: a second document begins here\n  → keep one declaration a file",
    "x: !!python/object/apply:os.system [ls]": "a.yaml:8: the tag `!!python/object/apply:os.system` is not allowed\n"
    "  → write the value without a tag",
    "store: *nowhere": "a.yaml:8: `*nowhere` refers to no anchor above it",
    "store: &a [*a]": "a.yaml:8: `*a` refers to itself",
    "store: a: b": "a.yaml:8: not valid YAML: mapping values are not allowed here\n"
    "  → check the indentation; a text that holds `: ` needs quotes",
    "store:\n\ta: b": "a.yaml:9: not valid YAML: found character '\\t' that cannot start any token\n"
    "  → indent with spaces, not tabs",
    "store: {{ text }}": "a.yaml:8: a key must be text, not a list or more keys\n"
    '  → a value that begins with `{{` needs quotes: "{{ … }}"',
    "store: a\x07b": "a.yaml:8: the character '\\x07' is not allowed\n  → remove it",
    'store: "\\ud800"': "a.yaml:8: half of a surrogate pair is no character",
    "<<: [1]": "a.yaml:8: `<<` takes keys and values, or a list of them",
}

# what stands below the pass (after its name and prompt) -> the whole message
IN_PASS = {
    "ttl: 30": "a.yaml:8: passes[0].ttl: expected a length of time above zero, got '30'\n"
    "  → write a number and a unit: 90s, 15m, 12h, 30d, 4w",
    "ttl_s: 30": f"a.yaml:8: passes[0].ttl_s: unknown key `ttl_s`\n  → did you mean `ttl`? (allowed here: {PASS_KEYS})",
    "promt: x": f"a.yaml:8: passes[0].promt: unknown key `promt`\n"
    f"  → did you mean `prompt`? (allowed here: {PASS_KEYS})",
    "api_key: sk-1": "a.yaml:8: passes[0].api_key: unknown key `api_key`\n"
    "  → keys never stand in the file: name an environment variable, `api_key_env: NAME`",
    "api_key_env: sk-123": "a.yaml:8: passes[0].api_key_env: this is not the name of an environment variable "
    "(not the key itself): letters, digits and _",
    "prefix: a-b": "a.yaml:8: passes[0].prefix: 'a-b' is not a prefix: letters, digits and _",
    "endpoint: http://me:pw@host/v1": "a.yaml:8: passes[0].endpoint: a user name or password in the URL is not "
    "allowed: it would be stored and shown\n"
    "  → keep the key in an environment variable and name it with `api_key_env`",
    "endpoint: localhost:8000": "a.yaml:8: passes[0].endpoint: not an http or https URL\n"
    "  → write it like http://127.0.0.1:8000/v1",
    "endpoint: http://[": "a.yaml:8: passes[0].endpoint: not a URL\n  → write it like http://127.0.0.1:8000/v1",
    "normalize: [nfck]": "a.yaml:8: passes[0].normalize[0]: expected one of nfkc, trim, collapse_space; got 'nfck'\n"
    "  → did you mean `nfkc`?",
    "inputs: [txt]": "a.yaml:5: passes[0].prompt: the prompt reads `text`, which is not in `inputs`\n"
    "  → did you mean `txt`? (inputs: txt); add it to `inputs`, or leave `inputs` out",
    "prompt_file: a.txt": "a.yaml:8: passes[0].prompt_file: give `prompt` or `prompt_file`, not both",
    "prices: {input_per_million: 1}": "a.yaml:8: passes[0].prices.output_per_million: `output_per_million` is missing\n"
    "  → add `output_per_million:`",
}

# how the field is written -> the whole message
FIELD = {
    "intger": f"a.yaml:7: passes[0].fields.stars: unknown type 'intger'\n"
    f"  → did you mean `integer`? (types: {FIELD_TYPES}list[enum(a, b)], a|b|c)",
    "{type: strnig}": f"a.yaml:7: passes[0].fields.stars.type: unknown type 'strnig'\n"
    f"  → did you mean `string`? (types: {FIELD_TYPES}list[enum(a, b)], a|b|c)",
    "a||b": "a.yaml:7: passes[0].fields.stars: a label is empty in 'a||b'\n"
    "  → write it like `positive|neutral|negative`",
    "{type: enum}": "a.yaml:7: passes[0].fields.stars: an enum needs `values` or `values_file`",
    "{type: integer, values: [a]}": "a.yaml:7: passes[0].fields.stars.values: `values` belongs to type enum, "
    "not to integer",
    "[a, b, a]": "a.yaml:7: passes[0].fields.stars: `values` holds a more than once",
    "{type: integer, max: many}": "a.yaml:7: passes[0].fields.stars.max: expected a whole number, got 'many'",
    "{type: number, min: .nan}": "a.yaml:7: passes[0].fields.stars.min: expected a number, got '.nan'",
    "{type: date, min: 31.12.2024}": "a.yaml:7: passes[0].fields.stars.min: expected a date like 2024-12-31, "
    "got '31.12.2024'",
    "{type: integer, min: 5, max: 1}": "a.yaml:7: passes[0].fields.stars.min: `min` 5 is above `max` 1",
    "{min: 5}": "a.yaml:7: passes[0].fields.stars.min: `min` belongs to type integer or number or date or datetime, "
    "not to string",
    "{type: 'a|b', values: [c]}": "a.yaml:7: passes[0].fields.stars.values: `type: a|b` already says `values`\n"
    "  → give it once",
    "{pattern: '('}": "a.yaml:7: passes[0].fields.stars.pattern: not a regular expression: missing ), unterminated "
    "subpattern at position 0",
    "{confidence: maybe}": "a.yaml:7: passes[0].fields.stars.confidence: expected true or false, got 'maybe'",
    "{description: [a]}": "a.yaml:7: passes[0].fields.stars.description: expected text, got a list",
    "{required: true}": "a.yaml:7: passes[0].fields.stars.required: unknown key `required`\n"
    "  → did you mean `nullable: false`?",
    "{type: object, fields: {x: {max_items: 3}}}": "a.yaml:7: passes[0].fields.stars.fields.x.max_items: `max_items` "
    "belongs to type list, not to string",
    "null": "a.yaml:7: passes[0].fields.stars: expected a type or keys, got nothing\n  → types: string, text, integer, "
    "number, boolean, date, datetime, enum, list, object",
}


@pytest.mark.parametrize(("text", "message"), AFTER.items())
def test_at_the_top(text: str, message: str) -> None:
    assert only(BASE + text + "\n") == message


@pytest.mark.parametrize(("text", "message"), IN_PASS.items())
def test_in_a_pass(text: str, message: str) -> None:
    assert only(BASE + f"    {text}\n") == message


@pytest.mark.parametrize(("text", "message"), FIELD.items())
def test_in_a_field(text: str, message: str) -> None:
    assert only(BASE.replace("stars: integer", f"stars: {text}")) == message


PROMPTS = {
    "{{ te xt }}": "the template is not valid: expected token 'end of print statement', got 'xt'",
    "{{ passes.raed.stars }}": "the prompt reads `passes.raed.stars`, but there is no pass `raed`",
    "{{ passes.read.stars }}": "the pass `read` reads its own answers",
    "{{ passes.read }}": "`passes.read` must be followed by a field",
    "{ text }": "the prompt reads no column, so every row would ask the same",
    "  ": "the prompt is empty",
    "{{ text | uper }}": "there is no filter `uper`",
}


@pytest.mark.parametrize(("prompt", "message"), PROMPTS.items())
def test_in_a_prompt(prompt: str, message: str) -> None:
    found = only(BASE.replace("{{ text }}", prompt))
    assert (
        found.startswith(f"a.yaml:5: passes[0].prompt: {message}\n  → ")
        or found == f"a.yaml:5: passes[0].prompt: {message}"
    )


def test_a_field_that_an_earlier_pass_does_not_have() -> None:
    text = BASE + '  - {name: tone, prompt: "{{ passes.read.stras }}", fields: {tone: string}}\n'
    assert only(text) == (
        "a.yaml:8: passes[1].prompt: the prompt reads `passes.read.stras`, but the pass `read` has no field `stras`\n"
        "  → did you mean `stars`? (fields of read: stars)"
    )


def test_a_mistake_in_a_block_prompt_names_the_line_of_the_file() -> None:
    block = "prompt: |\n      Hello\n      {{ text }}\n      {% if a %}{{ b c }}{% endif %}"
    assert only(BASE.replace('prompt: "{{ text }}"', block)).startswith("a.yaml:8: passes[0].prompt: the template")
    folded = block.replace("|", ">")
    assert "a.yaml:5: passes[0].prompt: " in only(BASE.replace('prompt: "{{ text }}"', folded))


def test_a_circle_of_passes_is_named() -> None:
    text = (
        BASE.replace("{{ text }}", "{{ passes.c.x }}")
        + """\
  - {name: b, prompt: "{{ passes.read.stars }}", fields: {y: string}}
  - {name: c, prompt: "{{ passes.b.y }} {{ text }}", fields: {x: string}}
"""
    )
    assert "passes read each other in a circle: read → c → b → read" in only(text)


def test_two_passes_of_one_name() -> None:
    text = BASE + '  - {name: read, prompt: "{{ text }}", fields: {other: string}}\n'
    assert only(text) == "a.yaml:8: passes[1].name: `read` is already the name of passes[0]\n  → rename one"


@pytest.mark.parametrize(
    ("fields", "prefix", "column", "owner"),
    [
        ("{stars: string}", "", "stars", "the pass `read`"),
        ("{Stars: string}", "", "Stars", "the pass `read`"),
        ("{ars: string}", "st", "stars", "the pass `read`"),
        ("{stars_null_reason: string}", "", "stars_null_reason", "the pass `read`"),
        ("{read_model: string}", "", "read_model", "the pass `read`"),
        ("{enriched_at: string}", "", "enriched_at", "every published table"),
    ],
)
def test_two_columns_of_one_name(fields: str, prefix: str, column: str, owner: str) -> None:
    text = BASE + f'  - {{name: tone, prompt: "{{{{ text }}}}", prefix: "{prefix}", fields: {fields}}}\n'
    found = mistakes(text)
    assert found[0].startswith("a.yaml:8: passes[1].fields.")
    assert f": publishes the column `{column}`, as {owner} does\n  → give the pass a prefix, for example " in found[0]
    assert found[0].endswith("`prefix: ton_`")


def test_columns_of_companions_that_are_not_published_are_free() -> None:
    text = BASE + '  - {name: tone, prompt: "{{ text }}", fields: {stars_null_reason: string}}\n'
    assert load_text(text + "output: {null_reasons: false}\n", env={}).passes[1].name == "tone"


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = BASE.replace("name: a", "name: 9a").replace("key: id", "kye: id").replace("{{ text }}", "{{ te xt }}")
    text = text.replace("integer", "intger") + "limits: {concurrency: many}\n"
    with pytest.raises(SpecError) as caught:
        load_text(text, file="a.yaml", env={})
    error = caught.value
    assert [(problem.line, problem.key) for problem in error.problems] == [
        (1, "name"),
        (2, "source.key"),
        (2, "source.kye"),
        (5, "passes[0].prompt"),
        (7, "passes[0].fields.stars"),
        (8, "limits.concurrency"),
    ]
    assert str(error).startswith("a.yaml has 6 mistakes:\na.yaml:1: name: '9a' is not a name: letters")
    assert (error.file, error.line, error.key) == ("a.yaml", 1, "name")


def test_a_prompt_is_checked_although_its_pass_is_wrong() -> None:
    text = BASE.replace("{{ text }}", "{{ a b }}") + "    temperature: hot\n"
    assert [message.split(": ")[1] for message in mistakes(text)] == ["passes[0].prompt", "passes[0].temperature"]


def test_a_reference_to_a_wrong_pass_is_no_second_mistake() -> None:
    later = '  - {name: b, prompt: "{{ passes.read.stars }}", fields: {y: string}}\n'
    assert only(BASE.replace("integer", "intger") + later).startswith("a.yaml:7: passes[0].fields.stars: unknown type")
    assert only(BASE + "    temperature: hot\n" + later).startswith("a.yaml:8: passes[0].temperature: expected")


def test_missing_sections() -> None:
    assert mistakes("name: a\n") == [
        "a.yaml: source: `source` is missing\n  → add `source:`",
        "a.yaml: passes: `passes` is missing\n  → add `passes:`",
    ]
    text = "name: a\nsource: {files: a.csv, key: id}\npasses:\n  - name: b\n"
    assert mistakes(text) == [
        "a.yaml:4: passes[0].prompt: `prompt` is missing\n  → give `prompt` or `prompt_file`",
        "a.yaml:4: passes[0].fields: `fields` is missing\n  → add `fields:`",
    ]
    assert mistakes(text.split("passes")[0] + "passes: []\n") == ["a.yaml:3: passes: needs at least 1 entry"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- a\n", "a.yaml:1: expected keys and values, got a list"),
        ("hello", "a.yaml:1: expected keys and values, got a text"),
        ("", "a.yaml: the file is empty"),
        ("\ufeff  \n", "a.yaml: the file is empty"),
        ("# only a comment\n", "a.yaml: the file is empty"),
        ("~", "a.yaml: the file is empty"),
    ],
)
def test_no_declaration_at_all(text: str, what: str) -> None:
    assert only(text).startswith(what)


def test_no_message_shows_what_came_from_the_environment() -> None:
    env = {"SECRET": "hunter2-very-secret"}
    text = (
        BASE
        + """\
    endpoint: https://${SECRET}@host/v1
    api_key_env: ${SECRET}
    prefix: ${SECRET}
    normalize: ["${SECRET}"]
limits: {concurrency: "${SECRET}"}
budget: {usd: 1, per: "${SECRET}"}
output: "${SECRET}"
select: "${SECRET}"
version: "${SECRETS}"
"""
    )
    found = mistakes(text, env=env)
    assert len(found) == 8
    assert not [message for message in found if "hunter2" in message]
    assert "a.yaml:12: limits.concurrency: expected a whole number, got the value of '${SECRET}'" in found
    text = BASE + "    endpoint: https://${SECRET}@host/v1\n"
    assert "hunter2" not in only(text, env=env)
    assert "did you mean `SECRET`? set it" in only(BASE + "version: ${SECRETS}\n", env=env)


def test_files_that_a_declaration_names(tmp_path: Path) -> None:
    (tmp_path / "values.txt").write_text("a\nb\n\na \n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n \n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"a\nb\nK\xf6ln\n")
    (tmp_path / "big.txt").write_bytes(b"x" * 1_000_001)
    (tmp_path / "prompt.txt").write_text("one\n{{ te xt }}\n", encoding="utf-8")

    def of(name: str) -> str:
        text = BASE.replace("stars: integer", f"stars: {{values_file: {name}}}")
        return only(text, folder=tmp_path)

    key = "passes[0].fields.stars.values_file"
    assert of("values.txt").startswith(f"{tmp_path / 'values.txt'}:4: {key}: `a` already stands in line 1")
    assert of("empty.txt").startswith(f"a.yaml:7: {key}: `empty.txt` holds no values")
    assert of("latin.txt").startswith(f"{tmp_path / 'latin.txt'}:3: {key}: `latin.txt` is not UTF-8")
    assert of("big.txt") == f"a.yaml:7: {key}: `big.txt` is larger than 1,000,000 bytes"
    assert "did you mean `values.txt`?" in of("valeus.txt")
    assert of(".").startswith(f"a.yaml:7: {key}: `.` is not a file")
    assert "there is no file `a\\x00b`" in of('"a\\0b"')
    os.mkfifo(tmp_path / "pipe")
    assert of("pipe").startswith(f"a.yaml:7: {key}: `pipe` is not a file")

    text = BASE.replace('prompt: "{{ text }}"', "prompt_file: prompt.txt")
    assert only(text, folder=tmp_path).startswith(f"{tmp_path / 'prompt.txt'}:2: passes[0].prompt: the template")
    text = text.replace("prompt.txt", "promt.txt")
    assert only(text, folder=tmp_path).startswith("a.yaml:5: passes[0].prompt_file: there is no file `promt.txt`")


def refusal(path: str | Path) -> str:
    with pytest.raises(SpecError) as caught:
        load(path, env={})
    return str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "reviwes.yaml"
    assert refusal(missing) == (f"{missing}: there is no file {missing}\n  → `inlay init` writes a first declaration")
    (tmp_path / "reviews.yaml").write_text(BASE, encoding="utf-8")
    (tmp_path / "other.yml").write_text(BASE, encoding="utf-8")
    assert f"did you mean {tmp_path / 'reviews.yaml'}? `inlay init`" in refusal(missing)
    nowhere = tmp_path / "no" / "a.yaml"
    assert refusal(nowhere).endswith(f"there is no folder {tmp_path / 'no'} either; check the path")


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("is a folder, not a file\n  → give the path of a YAML file")
    (tmp_path / "inlay.yaml").write_text(BASE, encoding="utf-8")
    assert refusal(tmp_path).endswith(f"did you mean {tmp_path / 'inlay.yaml'}?")
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "is not a regular file" in refusal(tmp_path / "pipe.yaml")
    assert "cannot read" in refusal(tmp_path / ("x" * 300))


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"name: a\nstore: K\xf6ln\n")
    assert f"{file}:2: the file is not UTF-8\n  → save it as UTF-8" in refusal(file)
    file.write_bytes(BASE.encode("utf-16"))
    assert "it looks like UTF-16; save it as UTF-8" in refusal(file)
