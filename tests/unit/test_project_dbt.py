"""`write_dbt`: what goes into a dbt project, and what is left as somebody wrote it."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.errors import SpecError
from inlay.project import write_dbt
from inlay.publish.dbt_sql import _jinja, region
from inlay.spec.load import load_text

DECLARATION = """
name: tenant_nationality
source: {connection: "${NOT_SET}", table: staging.tenants, key: id}
select: {missing: nationality, placeholders: [レソト]}
passes:
  - name: nationality
    model: openai:gpt-6-luna
    prompt: "{{ full_name }}"
    fields: {nationality: {type: enum, values: [日本, 中国], confidence: true, default: その他}}
output: {table: staging.cache, prefix: llm_, inputs: true}
"""
MODEL, MACROS = "models/staging/stg_tenants.sql", "macros/inlay.sql"
SOURCES, MODELS = "models/staging/_sources.yml", "models/staging/_models.yml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A dbt project with nothing in it."""
    (tmp_path / "dbt_project.yml").write_text("name: warehouse\nprofile: warehouse\n")
    return tmp_path


def declared(text: str = DECLARATION, **changes: str):
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return load_text(text, addresses=False)


def written(project: Path) -> dict[str, bytes]:
    return {str(path.relative_to(project)): path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_a_second_time_changes_nothing(project: Path) -> None:
    done = write_dbt(declared(), project)
    assert [(change.path, change.action) for change in done.files] == [
        (MODEL, "created"),
        (MACROS, "created"),
        (SOURCES, "created"),
        (MODELS, "created"),
    ]
    assert (done.model, done.notes) == ("stg_tenants", ())
    before = written(project)
    assert write_dbt(declared(), project).files == ()
    assert written(project) == before


def test_check_writes_nothing_and_tells_it_as_a_diff(project: Path) -> None:
    before = written(project)
    done = write_dbt(declared(), project, check=True)
    assert written(project) == before
    assert done.files[0].diff.startswith(f"--- /dev/null\n+++ b/{MODEL}\n")
    assert "+        placeholders=['レソト'],\n" in done.files[0].diff


def test_the_declaration_changed(project: Path) -> None:
    write_dbt(declared(), project)
    model = project / MODEL
    model.write_text("-- above\n" + model.read_text() + "where id > 7  -- ours\n")
    sources = project / SOURCES
    sources.write_text(sources.read_text().replace("When it last changed (UTC).", "Our words."))
    done = write_dbt(declared(その他="不明", 中国="中国, 台湾"), project)
    assert {change.path for change in done.files} == {MODEL, SOURCES}
    text = model.read_text()
    assert text.startswith("-- above\n{# inlay:begin ")
    assert text.endswith("select * from enriched\nwhere id > 7  -- ours\n")
    assert "'default': '不明'" in text
    assert 'values: ["日本", "中国", "台湾"]' in sources.read_text()
    assert "Our words." in sources.read_text()
    assert write_dbt(declared(その他="不明", 中国="中国, 台湾"), project).files == ()


def test_a_part_that_somebody_edited_stays_and_the_new_one_is_beside_it(project: Path) -> None:
    write_dbt(declared(), project)
    model, beside = project / MODEL, project / f"{MODEL}.inlay-new"
    edited = model.read_text().replace("placeholders=['レソト']", "placeholders=['レソト', 'N/A']")
    model.write_text(edited)
    assert write_dbt(declared(), project).files == (), "it is their edit of what is still the newest"

    newer = declared(その他="不明")
    done = write_dbt(newer, project)
    assert [(change.path, change.action) for change in done.files] == [(f"{MODEL}.inlay-new", "created")]
    assert "stays as it is" in done.notes[0]
    assert model.read_text() == edited
    assert "'default': '不明'" in beside.read_text()
    assert write_dbt(newer, project).files == ()

    # Taken over by hand, with the first line of the new version: nothing is left to say.
    first = beside.read_text().split("\n", 1)[0]
    model.write_text(first + "\n" + edited.split("\n", 1)[1].replace("その他", "不明"))
    done = write_dbt(newer, project)
    assert [(change.path, change.action) for change in done.files] == [(f"{MODEL}.inlay-new", "removed")]
    assert done.notes == ()
    assert not beside.exists()

    done = write_dbt(newer, project, force=True)
    assert [change.path for change in done.files] == [MODEL]
    assert "N/A" not in model.read_text()


def test_a_model_of_ones_own_is_never_touched(project: Path) -> None:
    own = project / "models" / "silver" / "stg_tenants.sql"
    own.parent.mkdir(parents=True)
    own.write_text("select 1 as id\n")
    done = write_dbt(declared(), project, force=True)
    assert own.read_text() == "select 1 as id\n"
    assert (own.parent / "stg_tenants.sql.inlay-new").exists()
    assert not (project / MODEL).exists(), "dbt knows models by name: there is one already"
    assert "is your own" in done.notes[0]
    own.write_text("select * from ({{ inlay_enriched(rows=x, answers=y, key=['id'], fields=[]) }}) t\n")
    done = write_dbt(declared(), project)
    assert done.notes == (), "who calls the macro needs no file beside"


def test_what_is_described_elsewhere_is_completed_there(project: Path) -> None:
    (project / "dbt_project.yml").write_text("name: w\nmodel-paths: ['transform']\nmacro-paths: [jinja, macros]\n")
    other = project / "transform" / "sources.yaml"
    other.parent.mkdir()
    other.write_bytes(b"# ours\r\nsources:\r\n  - name: staging\r\n    tables:\r\n      - name: tenants\r\n")
    (project / "transform" / "broken.yml").write_text("a: [\n")
    done = write_dbt(declared(), project)
    assert {change.path for change in done.files} == {
        "transform/sources.yaml",
        "transform/staging/stg_tenants.sql",
        "transform/staging/_models.yml",
        "jinja/inlay.sql",
    }
    assert b"\n" not in other.read_bytes().replace(b"\r\n", b""), "line ends as they were"
    assert other.read_bytes().startswith(
        b"# ours\r\nsources:\r\n  - name: staging\r\n    tables:\r\n      - name: tenants\r\n"
    )
    assert write_dbt(declared(), project).files == ()


def test_two_enrichments_of_one_table(project: Path) -> None:
    write_dbt(declared(), project)
    second = declared(tenant_nationality="tenant_language", cache="languages")
    with pytest.raises(SpecError) as caught:
        write_dbt(second, project)
    assert caught.value.remedy.endswith("--model stg_tenants_tenant_language")
    write_dbt(second, project, model="stg_tenants_tenant_language")
    assert write_dbt(declared(), project).files == ()
    assert (project / SOURCES).read_text().count("- name: tenants\n") == 1


def test_a_source_of_files_is_named_for_dbt(project: Path) -> None:
    files = declared(**{'connection: "${NOT_SET}", table: staging.tenants': "files: tenants.csv"})
    files = files.model_copy(update={"output": files.output.model_copy(update={"connection": "${X}"})})
    with pytest.raises(SpecError) as caught:
        write_dbt(files, project)
    assert caught.value.key == "source.files"
    assert "--source-table" in caught.value.remedy
    assert write_dbt(files, project, source_table="loaded.people").model == "stg_people"
    assert "source('loaded', 'people')" in (project / "models/staging/stg_people.sql").read_text()


def test_a_table_without_a_schema_is_looked_for_where_dbt_builds(project: Path) -> None:
    plain = declared(**{"staging.tenants": "tenants", "staging.cache": "cache"})
    write_dbt(plain, project)
    assert '  - name: raw\n    schema: "{{ target.schema }}"\n' in (project / SOURCES).read_text()
    assert "source('raw', 'cache')" in (project / MODEL).read_text()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"output: {table: staging.cache, prefix: llm_, inputs: true}": "output: out.parquet"}, "has none"),
        ({"staging.tenants": '\'staging."a\\""{{ x }}"\''}, "a table"),
    ],
)
def test_what_dbt_cannot_have(project: Path, changes: dict[str, str], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        write_dbt(declared(**changes), project)
    assert list(written(project)) == ["dbt_project.yml"]


def test_a_folder_that_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        write_dbt(declared(), tmp_path)
    assert caught.value.key == "--project"
    (tmp_path / "dbt_project.yml").write_text("a: [")
    with pytest.raises(SpecError, match="not valid YAML"):
        write_dbt(declared(), tmp_path)
    (tmp_path / "dbt_project.yml").write_text("name: w\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "staging").mkdir()
    (tmp_path / SOURCES).write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="UTF-8"):
        write_dbt(declared(), tmp_path)
    assert not (tmp_path / MODEL).exists(), "all or nothing"


@given(st.text())
def test_any_text_is_a_constant_in_jinja(text: str) -> None:
    written = _jinja(text)
    assert jinja2.Environment().from_string("{{ " + written + " }}").render() == text
    assert "{" not in written
    assert "\n" not in written


def test_marks_hold_what_was_written(project: Path) -> None:
    write_dbt(declared(), project)
    text = (project / MODEL).read_text()
    found = region(text)
    assert found is not None
    assert (found.owner, found.edited) == ("tenant_nationality", False)
    changed = region(text.replace("'llm_'", "'x_'"))
    assert changed is not None
    assert changed.edited
