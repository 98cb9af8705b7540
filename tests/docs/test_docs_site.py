"""The site builds without a warning and without the network, holds every page, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    # An address where nobody listens: whatever would be fetched fails the build.
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-W",
            "--keep-going",
            "-q",
            "-b",
            "html",
            "-d",
            out / "trees",
            DOCS,
            out / "html",
        ],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_every_page_is_there_and_reached_from_the_contents(site: Path) -> None:
    index = (site / "index.html").read_text(encoding="utf-8")
    for page in pages():
        if page.parent == ROOT:
            continue
        name = page.relative_to(DOCS).with_suffix(".html")
        assert (site / name).exists(), name
        if name.name != "index.html":
            assert f'href="{name}"' in index, name


def test_the_changelog_is_the_projects(site: Path) -> None:
    assert "0.1.0" in (site / "changelog.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"([^\"]+)\"", text)
        loaded += re.findall(r"<link[^>]*rel=\"(?:stylesheet|icon|preload)\"[^>]*href=\"([^\"]+)\"", text)
        assert not [place for place in loaded if "//" in place], page.name


def test_plain_pages_hold_no_markup_of_the_generator() -> None:
    for page in pages():
        assert not re.search(r"^```\{|^:::|^\{[a-z-]+\}`", page.read_text(encoding="utf-8"), re.MULTILINE), page.name
