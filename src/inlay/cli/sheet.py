"""A table of figures that fits its window without ever cutting a figure.

Wide enough: as it is. Too narrow for that: its columns of text are folded. Still too narrow: it is turned, so that
each row becomes a column, in as many pieces as it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inlay.cli.words import escaped

if TYPE_CHECKING:
    from rich.table import Table

# Between two columns; and how narrow a column of text may be folded.
GAP = 3
FOLDED = 12


@dataclass(frozen=True, slots=True)
class Sheet:
    """Column names, rows and perhaps a row of sums. Columns named in `text` are aligned left and may be folded.

    The names and cells are escaped already when they are here: build one with `sheet`.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: frozenset[str] = frozenset()
    total: tuple[str, ...] | None = None

    def fitted(self, room: int) -> list[Sheet]:
        """This sheet, or the pieces of it turned, that fit into `room` characters."""
        if self.width(fold=True) <= room or len(self.columns) < 3:
            return [self]
        turned = self._turned()
        pieces, start = [], 1
        while start < len(turned.columns):
            end = start + 1
            while end < len(turned.columns) and turned._piece(start, end + 1).width() <= room:
                end += 1
            pieces.append(turned._piece(start, end))
            start = end
        return pieces

    def width(self, *, fold: bool = False) -> int:
        """How many characters it takes beside each other; with `fold`, after folding what may be folded."""
        from rich.cells import cell_len

        used = GAP * (len(self.columns) - 1)
        for index, name in enumerate(self.columns):
            widest = max(cell_len(cells[index]) for cells in self._all())
            used += min(widest, FOLDED) if fold and name in self.text else widest
        return used

    def _all(self) -> list[tuple[str, ...]]:
        return [self.columns, *self.rows, *([] if self.total is None else [self.total])]

    def _turned(self) -> Sheet:
        heads, *rest = (tuple(column) for column in zip(*self._all(), strict=True))
        return Sheet(heads, tuple(rest), frozenset(heads[:1]))

    def _piece(self, start: int, end: int) -> Sheet:
        return replace(
            self,
            columns=(self.columns[0], *self.columns[start:end]),
            rows=tuple((row[0], *row[start:end]) for row in self.rows),
        )

    def table(self) -> Table:
        """As rich draws it."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        out = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
        for name in self.columns:
            left = name in self.text
            justify = "left" if left else "right"
            out.add_column(Text(name), justify=justify, overflow="fold", no_wrap=not left)
        for number, row in enumerate(self.rows):
            last = self.total is not None and number == len(self.rows) - 1
            out.add_row(*(Text(cell) for cell in row), end_section=last)
        if self.total is not None:
            out.add_row(*(Text(cell, style="bold") for cell in self.total))
        return out


def sheet(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text: Sequence[str] = (),
    total: Sequence[str] | None = None,
) -> Sheet:
    """A sheet of these texts, escaped here."""
    return Sheet(
        tuple(map(escaped, columns)),
        tuple(tuple(map(escaped, row)) for row in rows),
        frozenset(map(escaped, text)),
        None if total is None else tuple(map(escaped, total)),
    )
