"""Loading a declaration: what is read, how scalars stay what they are, where lines point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inlay.errors import SpecError
from inlay.spec.load import load, load_text
from inlay.spec.model import BudgetSpec, Enrichment

# The second example of the architecture page, word for word.
REVIEWS = """\
name: reviews
source: {files: reviews.csv, key: id}
passes:
  - name: read
    model: compatible:qwen3
    endpoint: http://127.0.0.1:8000/v1
    prompt: "Read this review: {{ text }}"
    fields:
      sentiment: {type: enum, values: [positive, neutral, negative], evidence: true}
      stars: {type: integer, min: 1, max: 5}
limits: {concurrency: 200}
output: {files: out.parquet}
"""

CASCADE = """\
name: jobs_2024
version: 1.10
source:
  files: [data/a.parquet, data/b.parquet]
  key: [tenant, id]
  types: {"first name": text, 年齢: integer}
select:
  missing: nationality
  placeholders: [レソト, 0, no, 007, N/A]
  limit: 0
passes:
  - name: judge
    prompt: |
      For {{ row["first name"] }}: {{ passes.extract.salary }}
      {% for skill in passes["extract"].skills %}{{ skill }};{% endfor %}
    fields: {verdict: fair|unfair}
    prefix: j_
    ttl: 30d
    options: {top_k: 5, stop: [no, 1.5, null], deep: {on: true, big: 1e3, text: "5"}}
  - name: extract
    model: auto
    prompt: "{{ description }} ${NOT_A_VARIABLE}"
    normalize: [nfkc, trim]
    temperature: 0
    fields:
      salary: {type: number, min: 0, max: 1.5e6, description: "a sum, ${AS_IT_STANDS}"}
      skills: list[string]
      visa: [yes, no]
      starts: {type: date, min: 2020-01-01}
budget: 5
output: out/得.parquet
"""


def test_the_example_of_the_architecture_loads_whole() -> None:
    enrichment = load_text(REVIEWS, env={})
    (read,) = enrichment.passes
    assert read.inputs == ("text",)
    assert read.upstream == ()
    assert read.fields["sentiment"].values == ("positive", "neutral", "negative")
    assert read.fields["sentiment"].evidence is True
    assert (read.fields["stars"].min, read.fields["stars"].max) == (1, 5)
    assert read.endpoint == "http://127.0.0.1:8000/v1"
    assert enrichment.limits.concurrency == 200
    assert enrichment.source.files == ("reviews.csv",)
    assert enrichment.output.files == "out.parquet"


def test_a_declaration_in_python_has_the_same_recipe() -> None:
    from_file = load_text(REVIEWS, env={})
    fields = {
        "sentiment": {"type": "enum", "values": ["positive", "neutral", "negative"], "evidence": True},
        "stars": {"type": "integer", "min": 1, "max": 5},
    }
    one = {
        "name": "read",
        "model": "compatible:qwen3",
        "endpoint": "http://127.0.0.1:8000/v1",
        "prompt": "Read this review: {{ text }}",
        "fields": fields,
        "inputs": ["text"],
    }
    direct = Enrichment.model_validate(
        {
            "name": "reviews",
            "source": {"files": "reviews.csv", "key": "id"},
            "passes": [one],
            "limits": {"concurrency": 200},
            "output": {"files": "out.parquet"},
        }
    )
    assert from_file.model_dump() == direct.model_dump()
    assert from_file.passes[0].digest("m") == direct.passes[0].digest("m")


def test_texts_stay_as_they_are_written() -> None:
    enrichment = load_text(CASCADE, env={})
    assert enrichment.version == "1.10"
    assert enrichment.select.placeholders == ("レソト", "0", "no", "007", "N/A")
    assert enrichment.select.limit == 0
    assert enrichment.source.types == {"first name": "text", "年齢": "integer"}
    assert enrichment.get_pass("extract").fields["visa"].values == ("yes", "no")
    assert enrichment.output.files == "out/得.parquet"
    assert enrichment.budget == BudgetSpec(usd=5)


def test_options_follow_yaml_and_everything_else_its_declared_type() -> None:
    judge = load_text(CASCADE, env={}).get_pass("judge")
    assert judge.options == {"top_k": 5, "stop": ["no", 1.5, None], "deep": {"on": True, "big": 1000.0, "text": "5"}}
    assert [type(value) for value in judge.options["stop"]] == [str, float, type(None)]
    assert judge.ttl_s == 30 * 86_400
    extract = load_text(CASCADE, env={}).get_pass("extract")
    assert extract.fields["salary"].max == 1.5e6
    assert str(extract.fields["starts"].min) == "2020-01-01"
    assert extract.temperature == 0


def test_inputs_and_references_are_found_in_the_prompts() -> None:
    enrichment = load_text(CASCADE, env={})
    judge, extract = enrichment.get_pass("judge"), enrichment.get_pass("extract")
    assert judge.inputs == ("first name",)
    assert judge.upstream == (("extract", "salary"), ("extract", "skills"))
    assert extract.inputs == ("description",)


def test_prompts_and_fields_keep_their_dollars() -> None:
    extract = load_text(CASCADE, env={"NOT_A_VARIABLE": "x", "AS_IT_STANDS": "y"}).get_pass("extract")
    assert extract.prompt.endswith("${NOT_A_VARIABLE}")
    assert extract.fields["salary"].description == "a sum, ${AS_IT_STANDS}"


def test_declared_inputs_may_be_more_than_the_prompt_reads() -> None:
    text = REVIEWS.replace("    fields:", "    inputs: [text, lang]\n    fields:")
    assert load_text(text, env={}).passes[0].inputs == ("text", "lang")


def test_every_key_has_its_line() -> None:
    lines = load_text(CASCADE, env={}).lines
    rows = CASCADE.splitlines()
    assert rows[lines["passes[1].fields.skills"] - 1].strip() == "skills: list[string]"
    assert rows[lines["passes[0].ttl"] - 1].strip() == "ttl: 30d"
    assert lines["select.placeholders[3]"] == lines["select.placeholders"]
    assert 'source.types["first name"]' in lines


def test_a_file_knows_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "審査.yaml"
    file.write_text("\ufeff" + REVIEWS, encoding="utf-8")
    enrichment = load(file, env={})
    assert (enrichment.folder, enrichment.file) == (tmp_path, file)


def test_anchors_and_merge_keys_share_settings() -> None:
    text = """\
name: a
source: {files: a.csv, key: id}
passes:
  - &first
    name: one
    prompt: &ask "{{ text }}"
    fields: {a: integer}
    prefix: one_
    normalize: [trim]
  - <<: *first
    name: two
    prefix: two_
  - <<: [{name: three, temperature: 1}, *first]
    prefix: three_
    prompt: *ask
"""
    one, two, three = load_text(text, env={}).passes
    assert (two.name, two.prefix, two.normalize, two.prompt) == ("two", "two_", ("trim",), one.prompt)
    assert (three.name, three.temperature, three.normalize) == ("three", 1.0, ("trim",))


def test_prompts_and_values_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "read.txt").write_text("Lies: {{ text }}\n{{ title }} 🎉\n", encoding="utf-8")
    (tmp_path / "values.txt").write_bytes("\ufeff日本\r\n\r\n  مصر  \n\nBrasil".encode())
    text = """\
name: a
source: {files: a.csv, key: id}
passes:
  - name: read
    prompt_file: ${FOLDER}/read.txt
    fields:
      nation: {values_file: values.txt}
      nations: {type: list, items: {type: enum, values_file: values.txt}}
"""
    (read,) = load_text(text, folder=tmp_path, env={"FOLDER": "prompts"}).passes
    assert read.inputs == ("text", "title")
    assert read.prompt == "Lies: {{ text }}\n{{ title }} 🎉\n"
    assert read.fields["nation"].type == "enum"
    assert read.fields["nation"].values == ("日本", "مصر", "Brasil")
    assert read.fields["nations"].item.values == ("日本", "مصر", "Brasil")
    assert "values_file" not in read.recipe("m")


@pytest.mark.parametrize(
    ("written", "expected"),
    [("${A}", "x"), ("${NO:-d}", "d"), ("${EMPTY:-d}", "d"), ("${EMPTY}", ""), ("$${A}", "${A}"), ("$A $$", "$A $$")],
)
def test_variables_are_filled_in(written: str, expected: str) -> None:
    text = REVIEWS + f"version: 'p{written}'\n"
    assert load_text(text, env={"A": "x", "EMPTY": ""}).version == f"p{expected}"


def test_a_value_of_the_environment_is_never_expanded_again() -> None:
    env = {"A": "${B} $${B} {{ text }}\nname: evil", "B": "b"}
    enrichment = load_text(REVIEWS + "version: ${A}\n", env=env)
    assert enrichment.version == env["A"]
    assert enrichment.name == "reviews"


def test_variables_fill_in_numbers() -> None:
    enrichment = load_text(REVIEWS + "budget: ${USD}\nselect: {limit: '${N:-7}'}\n", env={"USD": "2.50"})
    assert enrichment.budget == BudgetSpec(usd=2.5)
    assert enrichment.select.limit == 7


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INLAY_TEST_STORE", "here")
    assert load_text(REVIEWS + "version: ${INLAY_TEST_STORE}\n").version == "here"


def test_a_simple_declaration_loads_without_jinja() -> None:
    code = (
        "import sys; from inlay.spec.load import load_text; "
        f"load_text({REVIEWS!r}, env={{}}); print('jinja2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_error_of_many_mistakes_pickles() -> None:
    import pickle

    with pytest.raises(SpecError) as caught:
        load_text(REVIEWS + "sorce: 1\n", env={})
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.problems[0].key == "sorce"


def test_addresses_stay_as_they_are_written_so_that_no_secret_is_kept() -> None:
    text = REVIEWS.replace("output: {files: out.parquet}\n", "").replace(
        "source: {files: reviews.csv, key: id}", "source: {connection: '${URL}', table: staging.reviews, key: id}"
    )
    text += "output: {table: llm, connection: '${URL}'}\nstore: ${URL}\nafter: [{webhook: '${HOOK}'}]\n"
    enrichment = load_text(text, env={"URL": "mysql://u:secret@h/db", "HOOK": "https://h/secret"})
    assert enrichment.source.connection == enrichment.output.connection == enrichment.store == "${URL}"
    assert enrichment.after[0].webhook == "${HOOK}"
    assert "secret" not in repr(enrichment)
    with pytest.raises(SpecError, match="the environment variable `URL` is not set"):
        load_text(text, env={"HOOK": "x"})


def test_a_password_in_the_file_is_refused_and_not_shown() -> None:
    text = REVIEWS.replace("files: reviews.csv", "connection: 'mysql://u:hunter2@h/db', table: t")
    with pytest.raises(SpecError) as caught:
        load_text(text, env={})
    assert "holds a password" in str(caught.value)
    assert "hunter2" not in str(caught.value)
