"""A declaration written into a dbt project: looked at first, decided as a whole, then written file by file.

What stays true: nothing is written before every file was read and every change is known; each file appears whole or not
at all; what somebody wrote by hand is never overwritten (see `publish.dbt_sql` for marks, `publish.dbt_yaml` for YAML);
a second call changes nothing.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from inlay.errors import SpecError, TargetError
from inlay.publish.dbt import DbtModel, dbt_model
from inlay.publish.dbt_entries import model_entry, source_entry, tables
from inlay.publish.dbt_sql import MACROS, macros_file, model_file, region, replaced
from inlay.publish.dbt_yaml import YamlFile, new_file
from inlay.publish.write import write_text
from inlay.spec.load import load
from inlay.spec.model import Enrichment
from inlay.spec.resolve import resolve

PROJECT_FILE = "dbt_project.yml"
BESIDE = ".inlay-new"  # behind the name of a file that somebody edited; dbt does not read it
FOLDER = "staging"


@dataclass(frozen=True, slots=True)
class DbtChange:
    """A file that changes. `path` is seen from the project; a file that is made has no `before`, a removed one no
    `after`."""

    path: str
    action: Literal["created", "updated", "removed"]
    before: str | None
    after: str | None

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        old, new = (self.before or "").splitlines(keepends=True), (self.after or "").splitlines(keepends=True)
        names = ("/dev/null" if self.before is None else f"a/{self.path}", f"b/{self.path}")
        lines = difflib.unified_diff(old, new, names[0], names[1] if self.after is not None else "/dev/null")
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True, slots=True)
class DbtChanges:
    """What `write_dbt` changed, or would change. `notes` are sentences about files that were left alone."""

    model: str
    files: tuple[DbtChange, ...]
    notes: tuple[str, ...]


def write_dbt(
    declaration: str | Path | Enrichment,
    folder: str | Path,
    *,
    source_table: str | None = None,
    source: str | None = None,
    model: str | None = None,
    check: bool = False,
    force: bool = False,
) -> DbtChanges:
    """See `inlay.project.write_dbt`."""
    enrichment = resolve(declaration) if isinstance(declaration, Enrichment) else load(declaration, addresses=False)
    told = dbt_model(enrichment, source_table=source_table, source=source, name=model)
    project = _Project(Path(folder))
    files = _Files(project.folder, force=force)
    files.sql(project.file(f"{told.name}.sql", project.models, FOLDER), told.enrichment, model_file(told), told.name)
    files.sql(project.file("inlay.sql", project.macros), MACROS, macros_file(), "")
    _describe(files, project, told)
    changes = DbtChanges(told.name, tuple(files.changes()), tuple(files.notes))
    if not check:
        for change in changes.files:
            files.write(change)
    return changes


def _describe(files: _Files, project: _Project, told: DbtModel) -> None:
    """The sources with their tables and the model, each in the file where it is described already, or in a new one."""
    described = project.described()
    for place, table in tables(told):
        path = _first(
            (path for path, file in described.items() if place.name in file.sources.get(place.source, ())),
            (path for path, file in described.items() if place.source in file.sources),
            [project.models[0] / FOLDER / "_sources.yml"],
        )
        entry = source_entry(place)
        files.yaml(path, "sources", lambda file, entry=entry, table=table: file.add_table(entry, table))
    path = _first(
        (path for path, file in described.items() if told.name in file.models),
        [project.models[0] / FOLDER / "_models.yml"],
    )
    files.yaml(path, "models", lambda file: file.add_model(model_entry(told)))


def _first(*places: Iterable[Path]) -> Path:
    return next(chain.from_iterable(places))


class _Project:
    """A dbt project's folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / PROJECT_FILE
        if not path.is_file():
            raise SpecError(
                f"there is no {PROJECT_FILE} in {folder}",
                key="--project",
                remedy="name the folder of a dbt project; `dbt init` makes one",
            )
        YamlFile(_read(path) or "", path)  # says where it is wrong
        from ruamel.yaml import YAML

        found = YAML(typ="safe", pure=True).load(_read(path) or "")
        self.models = self._folders(found, "model-paths", "models")
        self.macros = self._folders(found, "macro-paths", "macros")

    def _folders(self, found: object, key: str, usual: str) -> list[Path]:
        named = found.get(key) if isinstance(found, dict) else None
        names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
        return [self.folder / name for name in names or [usual]]

    def file(self, name: str, folders: list[Path], below: str = "") -> Path:
        """The file of that name wherever it is (dbt knows models by name), or where it will be."""
        for folder in folders:
            for path in sorted(folder.rglob(name)) if folder.is_dir() else ():
                return path
        return folders[0] / below / name

    def described(self) -> dict[Path, YamlFile]:
        """Every YAML file of the models that can be read, by path; dbt itself tells of the others."""
        found: dict[Path, YamlFile] = {}
        for folder in self.models:
            paths = (path for path in sorted(folder.rglob("*")) if path.suffix in (".yml", ".yaml") and path.is_file())
            for path in paths:
                with contextlib.suppress(SpecError):
                    found[path] = YamlFile(_read(path) or "", path)
        return found


class _Files:
    """The files as they are and as they will be."""

    def __init__(self, folder: Path, *, force: bool) -> None:
        self.notes: list[str] = []
        self._folder = folder
        self._force = force
        self._before: dict[Path, str | None] = {}
        self._after: dict[Path, str | None] = {}

    def sql(self, path: Path, owner: str, new: str, model: str) -> None:
        """A file with a part of ours: replaced where nobody touched it, else written beside."""
        text = self._now(path)
        beside = path.with_name(path.name + BESIDE)
        if text is None:
            self._put(path, new)
            self._put(beside, None)
            return
        ours, fresh = region(text), region(new)
        assert fresh is not None, "a new file has a part of ours"
        if ours is None:
            if "inlay_enriched(" not in text:
                self._put(beside, new)
                self.notes.append(f"{self._shown(path)} is your own and stays as it is; {beside.name} is beside it")
            return
        if ours.owner != owner:
            raise SpecError(
                f"{self._shown(path)} belongs to the enrichment {ours.owner}",
                key="--model",
                remedy=f"give the model of {owner} another name: --model {model}_{owner}",
            )
        if ours.digest == fresh.digest and not (ours.edited and self._force):
            self._put(beside, None)
        elif ours.edited and not self._force:
            self._put(beside, new)
            self.notes.append(
                f"{self._shown(path)} was edited between Inlay's marks and stays as it is; the new version is beside "
                f"it, in {beside.name}: take over what you want and its first line, or use --force"
            )
        else:
            self._put(path, replaced(text, ours, new))
            self._put(beside, None)

    def yaml(self, path: Path, key: str, add: Callable[[YamlFile], None]) -> None:
        """A YAML file that something is added to."""
        text = self._now(path)
        file = YamlFile(new_file(key) if text is None or not text.strip() else text, path)
        add(file)
        after = file.result()
        again = YamlFile(after, path)
        add(again)
        if again.result() != after:
            raise SpecError(
                f"{self._shown(path)} is written in a way that Inlay cannot add to",
                file=path,
                remedy="write its lists with a dash and a line for each, or keep these tables in a file of their own",
            )
        self._put(path, after)

    def changes(self) -> Iterator[DbtChange]:
        """What differs, in the order in which it came."""
        for path, after in self._after.items():
            before = self._before[path]
            if before != after:
                action = "created" if before is None else "removed" if after is None else "updated"
                yield DbtChange(self._shown(path), action, before, after)

    def write(self, change: DbtChange) -> None:
        """Make one change. Raises TargetError."""
        path = self._folder / change.path
        try:
            if change.after is None:
                path.unlink(missing_ok=True)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TargetError(
                f"cannot write {path}: {error.strerror or error}", remedy="see who owns the folder"
            ) from None
        write_text(path, change.after)

    def _now(self, path: Path) -> str | None:
        if path not in self._before:
            self._before[path] = _read(path)
            self._after[path] = self._before[path]
        return self._after[path]

    def _put(self, path: Path, text: str | None) -> None:
        now = self._now(path)
        if text is not None and now is not None and "\r\n" in now:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        self._after[path] = text

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix() if path.is_relative_to(self._folder) else str(path)


def _read(path: Path) -> str | None:
    """A text file as it is, byte for byte; None where there is none. Raises SpecError."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise SpecError("this file is not UTF-8", file=path, remedy="save it as UTF-8") from None
    except OSError as error:
        raise SpecError(
            f"cannot be read: {error.strerror or error}", file=path, remedy="see who owns the file"
        ) from None
