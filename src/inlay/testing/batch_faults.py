"""Everything that can go wrong with a batch as a whole, by name, and the rule that says when.

What goes wrong with a single line is a fault of `FAULTS`, as it is in a live call.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

# name → (what it strikes, a sentence)
Struck = Literal["create", "batch", "poll", "list", "download", "upload"]
_ALL: tuple[tuple[str, Struck, str], ...] = (
    ("create_500_before", "create", "Creating a batch answers 500, and there is none."),
    ("create_429_before", "create", "Creating a batch answers 429, and there is none."),
    ("create_reset_before", "create", "The connection is reset (RST) before the batch is created."),
    ("create_500_after", "create", "The batch is created, and the answer is a 500."),
    ("create_timeout_after", "create", "The batch is created, and the answer never comes."),
    ("create_reset_after", "create", "The batch is created, and the connection is reset (RST) before any answer."),
    ("create_cut_after", "create", "The batch is created, and the answer is cut half way."),
    ("batch_fail_validation", "batch", "The batch fails its validation: nothing is run or paid."),
    ("batch_token_limit", "batch", "The batch is refused for the tokens that are enqueued already: nothing is run."),
    ("batch_expire", "batch", "The batch expires: a part is done, the rest is reported as expired."),
    ("batch_expire_silently", "batch", "The batch expires: a part is done, the rest is missing from the results."),
    ("batch_expire_unbegun", "batch", "The batch expires before it began."),
    ("batch_cancel", "batch", "The batch is cancelled by the provider: a part is done."),
    ("batch_unknown_state", "batch", "A state that nobody has heard of, until the batch ends."),
    ("batch_shuffled", "batch", "The lines of the results are in another order."),
    ("batch_lost_line", "batch", "The last line, done and paid, is missing from the results."),
    ("batch_doubled_line", "batch", "The first line of the results is there twice."),
    ("batch_foreign_line", "batch", "A line of the results carries an id that nobody sent."),
    ("poll_500", "poll", "Asking for a batch answers 500."),
    ("poll_404", "poll", "Asking for a batch answers 404, although it is there."),
    ("list_hidden", "list", "A list of batches leaves this one out."),
    ("list_500", "list", "Listing batches answers 500."),
    ("download_500", "download", "Fetching results answers 500."),
    ("download_cut", "download", "The results are cut half way by a reset (RST)."),
    ("download_short", "download", "The results end half way, in an answer that looks whole."),
    ("upload_500", "upload", "Uploading the lines answers 500."),
    ("upload_reset_after", "upload", "The lines are uploaded, and the connection is reset (RST) before any answer."),
)
BATCH_FAULTS: Mapping[str, str] = {name: sentence for name, _, sentence in _ALL}
STRIKES: Mapping[str, Struck] = {name: struck for name, struck, _ in _ALL}


class BatchFaultRule(BaseModel):
    """When a fault of `BATCH_FAULTS` strikes.

    `numbers` are the batches that it strikes, by order of creation from 1 (for faults of creating: the attempts;
    of uploading: the uploads); without them every one. `times` is how often it strikes at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: str
    numbers: tuple[int, ...] = ()
    times: int | None = Field(default=None, ge=1)

    @field_validator("fault")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BATCH_FAULTS:
            near = difflib.get_close_matches(name, BATCH_FAULTS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(BATCH_FAULTS))}"
            raise ValueError(f"there is no batch fault {name!r}{hint}")
        return name
