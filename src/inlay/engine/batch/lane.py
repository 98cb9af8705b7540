"""The lane of a batch: what is claimed is written to a file and parked, instead of being sent.

What stays true: an ask that is parked is through for this run, and its row goes on no further; a chunk is on disk and
fsynced before it is journalled, and journalled (its leases handed over with it) before anything is sent; a chunk that
is not journalled holds nothing that a dead runner would not lose.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from inlay.batches import Batch, BatchLine, LineCell, custom_id
from inlay.engine.batch import rates
from inlay.engine.batch.files import Folder, Spool
from inlay.engine.passwork import PassWork
from inlay.engine.work import Ask, Target
from inlay.payload import encode_fields
from inlay.providers.batch import BatchWire
from inlay.types import HttpRequest, RunRecord

# How many rows may be under way while a batch is filled.
ROWS_AHEAD = 2_000


@dataclass(frozen=True, slots=True)
class Filling:
    """How batches of one lane are made: the provider's wire, the sizes of one batch, and what to write of it."""

    wire: BatchWire
    folder: Folder
    account: str
    region: str
    most_requests: int
    most_bytes: int


@dataclass(slots=True)
class Chunk:
    """One batch being filled: requests for one endpoint."""

    submission: str
    url: str
    parts: dict[int, PassWork]
    spool: Spool
    lines: list[BatchLine] = field(default_factory=list)
    cells: list[list[LineCell]] = field(default_factory=list)


class BatchLane:
    """Stands where a `Lane` would: the Runner claims for it and hands it what was claimed."""

    def __init__(
        self,
        name: str,
        filling: Filling,
        run: RunRecord,
        *,
        journal: Callable[[Batch, Sequence[BatchLine]], None],
    ) -> None:
        """`journal` is called with each batch that is full, on the event loop; it keeps it (see Runner)."""
        self.name = name
        self.filling = filling
        self.active = 0
        self._run = run
        self._journal = journal
        self._chunks: dict[str, Chunk] = {}
        self._parked: dict[bytes, tuple[Chunk, int]] = {}

    # --- what the Runner asks of a lane

    @property
    def limit(self) -> int:
        """For the Runner's count of rows under way."""
        return ROWS_AHEAD

    ahead = 0
    room = ROWS_AHEAD
    stocked = False

    # --- filling

    def add(self, part: PassWork, ask: Ask) -> None:
        """Park a claimed ask. Raises SpecError or StoreError; then it is not parked."""
        variant = part.variant(ask.names, ask.repair)
        assert variant.encode is not None
        request: HttpRequest = variant.encode(ask.user)
        wire = self.filling.wire
        url = wire.url(request)
        chunk = self._chunks.get(url)
        if chunk is not None:
            size = chunk.spool.size + len(request.body) + 512
            if len(chunk.lines) >= self.filling.most_requests or size > self.filling.most_bytes:
                self._seal(chunk)
                chunk = None
        if chunk is None:
            submission = secrets.token_hex(16)
            chunk = self._chunks[url] = Chunk(submission, url, {}, self.filling.folder.spool(submission))
        chunk.parts[part.ref.pass_id] = part
        name = custom_id(chunk.submission, len(chunk.lines))
        chunk.spool.add(wire.line(name, request))
        chunk.lines.append(
            BatchLine(
                custom_id=name,
                attempt_id=ask.attempt_id,
                fingerprint=ask.fingerprint,
                pass_id=part.ref.pass_id,
                recipe_id=part.answer_recipe_id,
                input=ask.input,
                cells=(),
                names=ask.names,
                known=encode_fields(ask.known) if ask.known else b"",
                repair=ask.repair,
                reserve_nusd=ask.reserve_nusd,
                cost_nusd=ask.cost_nusd,
            )
        )
        chunk.cells.append([_cell(part, target) for target in ask.targets])
        self._parked[ask.fingerprint] = (chunk, len(chunk.lines) - 1)

    def join(self, part: PassWork, fingerprint: bytes, target: Target) -> bool:
        """Let one more cell wait for a parked address; False where it is not in a batch that is being filled."""
        found = self._parked.get(fingerprint)
        if found is None:
            return False
        chunk, place = found
        chunk.cells[place].append(_cell(part, target))
        return True

    def flush(self) -> None:
        """Seal what there is."""
        for chunk in list(self._chunks.values()):
            self._seal(chunk)

    def drop(self) -> list[int]:
        """Write off what was not sealed; the attempts that are to be released."""
        numbers = [line.attempt_id for chunk in self._chunks.values() for line in chunk.lines]
        for chunk in self._chunks.values():
            chunk.spool.drop()
        self._chunks.clear()
        self._parked.clear()
        return numbers

    def _seal(self, chunk: Chunk) -> None:
        self._chunks = {url: each for url, each in self._chunks.items() if each is not chunk}
        self._parked = {name: place for name, place in self._parked.items() if place[0] is not chunk}
        lines = [replace(line, cells=tuple(cells)) for line, cells in zip(chunk.lines, chunk.cells, strict=True)]
        digest = chunk.spool.close()
        part = next(iter(chunk.parts.values()))
        model = part.model
        assert model.endpoint is not None
        batch = Batch(
            submission=chunk.submission,
            enrichment=self._run.enrichment,
            run_id=self._run.run_id,
            provider=model.provider,
            model=model.name,
            wire=part.spec.wire or "",
            endpoint=model.endpoint.url,
            region=self.filling.region,
            url=chunk.url,
            account=self.filling.account,
            requests=len(lines),
            size=chunk.spool.size,
            sha256=digest,
            rates={str(number): rates.written(each.live_price, each.price) for number, each in chunk.parts.items()},
        )
        self._journal(batch, lines)


def _cell(part: PassWork, target: Target) -> LineCell:
    return LineCell(
        target.row.key, target.row.source_hashes[part.index], target.upstream_hash, target.tries, target.keeps
    )
