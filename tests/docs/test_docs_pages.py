"""Every block of every page does what the page says: files are written, commands and Python run, output is held equal.

To write what commands print into the pages anew, after a wanted change: INLAY_RENEW_DOCS=1 pytest tests/docs
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from docs_pages import blocks_of, name_of, pages, steps_of
from docs_running import Differs, Pages, alike

# Made from the commands; their examples are checked in test_docs_words.
GENERATED = ("docs/cli.md",)
# Reference for somebody who has a project already.
FOR_A_PROJECT = ("docs/errors.md", "docs/logs.md", "docs/privacy.md")
RUN = [page for page in pages() if name_of(page) not in GENERATED]
# Blocks that no test machine can run, each with its reason in the page. Raise this only with a reason as good.
MOST_NOT_RUN = 7


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_every_block_does_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    renew = bool(os.environ.get("INLAY_RENEW_DOCS"))
    with Pages(tmp_path, prepared=name_of(page) in FOR_A_PROJECT) as running:
        try:
            running.run(blocks_of(text), renew=renew)
        except Differs as error:
            pytest.fail(f"{name_of(page)}, {error}", pytrace=False)
        finally:
            if running.renewed:
                page.write_text(_renewed(text, running.renewed), encoding="utf-8")


def _renewed(text: str, blocks: dict[int, list[str]]) -> str:
    lines = text.splitlines()
    for line, block in sorted(blocks.items(), reverse=True):
        end = next(n for n in range(line, len(lines)) if lines[n].startswith("```"))
        lines[line:end] = block
    return "\n".join(lines) + "\n"


def test_what_is_not_run_is_little_and_has_a_reason() -> None:
    left = [(name_of(page), block) for page in pages() for block in blocks_of(page.read_text()) if block.not_run]
    assert all(len(block.not_run or "") > 20 for _, block in left), "a reason is a sentence"
    assert len(left) <= MOST_NOT_RUN, [f"{name}:{block.line} {block.not_run}" for name, block in left]


# --- the runner itself can fail


def running_of(text: str, folder: Path) -> None:
    with Pages(folder) as running:
        running.run(blocks_of(text))


def page_of(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def test_output_is_compared(tmp_path: Path) -> None:
    running_of(page_of("```console", "$ echo one; echo two", "one", "two", "```"), tmp_path / "a")
    with pytest.raises(Differs, match="the page shows"):
        running_of(page_of("```console", "$ echo one", "eins", "```"), tmp_path / "b")
    with pytest.raises(Differs):
        running_of(page_of("```console", "$ echo one", "```"), tmp_path / "c")


def test_a_failure_must_be_shown(tmp_path: Path) -> None:
    with pytest.raises(Differs, match="ends with 3"):
        running_of(page_of("```console", "$ (exit 3)", "```"), tmp_path / "a")
    running_of(page_of("```console", "$ (exit 3)", "$ echo $?", "3", "```"), tmp_path / "b")
    with pytest.raises(Differs, match="the block fails"):
        running_of(page_of("```sh", "false", "true", "```"), tmp_path / "c")


def test_the_shell_and_the_folder_live_on(tmp_path: Path) -> None:
    running_of(
        page_of(
            "```sh", "export GREETING=hello", "mkdir -p sub", "cat > sub/a.txt <<'EOF'", "x", "EOF", "```",
            "```console", "$ cd sub", "$ cat a.txt; \\", "  echo $GREETING", "x", "hello", "$ pwd",
            "/home/you/reviews/sub", "```",
        ),
        tmp_path,
    )  # fmt: skip


def test_python_goes_on_waits_and_shows(tmp_path: Path) -> None:
    page = page_of(
        "```python", "import asyncio", "name = 'Ana'", "await asyncio.sleep(0)", "```",
        "```python", "print(name)", "```", "", "```text", "Ana", "```",
    )  # fmt: skip
    running_of(page, tmp_path / "a")
    with pytest.raises(Differs, match="the page shows"):
        running_of(page.replace("\nAna\n", "\nEva\n"), tmp_path / "b")
    with pytest.raises(Differs, match="ZeroDivisionError"):
        running_of(page_of("```python", "1 / 0", "```"), tmp_path / "c")


def test_files_are_written_and_declarations_loaded(tmp_path: Path) -> None:
    running_of(
        page_of("```yaml", "# a.yaml", "x: 1", "```", "<!-- file: b.csv -->", "```csv", "id,text", "```",
                "```console", "$ cat a.yaml b.csv", "# a.yaml", "x: 1", "id,text", "```",
                "```yaml", "budget: {usd: 5, per: day}", "```"),
        tmp_path / "a",
    )  # fmt: skip
    with pytest.raises(Differs, match="per"):
        running_of(page_of("```yaml", "budget: {usd: 5, per: dya}", "```"), tmp_path / "b")
    with pytest.raises(Differs, match="outside"):
        running_of(page_of("<!-- file: ../b.csv -->", "```csv", "id", "```"), tmp_path / "c")


def test_what_is_marked_is_left_alone(tmp_path: Path) -> None:
    running_of(page_of("<!-- not run: it would end the world -->", "```sh", "false", "```"), tmp_path)


def test_a_page_that_sets_a_key_is_answered_by_the_simulator(tmp_path: Path) -> None:
    running_of(
        page_of("```sh", "export OPENAI_API_KEY=sk-...", "```", "<!-- file: r.csv -->", "```csv", "id,text", "1,great",
                "```", "```yaml", "# inlay.yaml", "name: r", "source: {files: r.csv, key: id}", "passes:",
                "  - {name: read, model: 'openai:gpt-6-luna', prompt: '{{ text }}', fields: {mood: great|bad}}", "```",
                "```console", "$ inlay run --quiet && inlay export --format csv", "id,text,mood,…", "1,great,great,…",
                "```"),
        tmp_path,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a 0.3 s"], ["a 12 s"], True),
        (["a  b"], ["a     b"], True),
        (["…"], [], True),
        (["a", "…", "z"], ["a", "b", "c", "z"], True),
        (["a", "…", "z"], ["a", "b", "c"], False),
        (["cost $0.10"], ["cost $0.20"], False),
        (["cost …, ok"], ["cost $0.20, ok"], True),
        (["6 rows"], ["7 rows"], False),
        (["at 2026-11-21 01:16:19 UTC"], ["at 2027-01-01 00:00:00 UTC"], True),
        (["a.b"], ["axb"], False),
    ],
)
def test_what_may_differ(expected: list[str], printed: list[str], same: bool) -> None:
    assert alike(expected, printed) is same


@pytest.mark.parametrize(
    "text", ["```console\n$ x\n", "```ruby\n1\n```\n", "  ```python\n1\n  ```\n", "```python {x}\n```\n"]
)
def test_a_fence_that_would_be_overlooked_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        blocks_of(text)


def test_output_without_a_command_is_refused() -> None:
    with pytest.raises(ValueError, match="before the first command"):
        steps_of(blocks_of("```console\nx\n$ y\n```\n")[0])
