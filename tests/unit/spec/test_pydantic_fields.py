"""A pydantic class says its fields: every constraint is kept exactly, or refused with the attribute's name."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional

import pytest
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, conint, constr

from inlay.engine.coerce import compile_field
from inlay.engine.scalars import Unfit
from inlay.errors import SpecError
from inlay.spec.field_lines import read_fields
from inlay.spec.fields import FieldSpec
from inlay.spec.model import PassSpec
from inlay.spec.pydantic_fields import fields_of, hint_of


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "悪い"


class Amount(BaseModel):
    """An amount of money."""

    value: Decimal = Field(ge=0)
    currency: str = Field(pattern="^[A-Z]{3}$")


Stars = NewType("Stars", int)


class Everything(BaseModel):
    """A review,
    read closely."""

    text: str
    long: str = Field(json_schema_extra={"multiline": True, "confidence": True})
    whole: int = Field(ge=1, le=5, description="How many\n stars")
    beyond: Annotated[int, Field(gt=1, lt=5)]
    share: float = Field(gt=0, lt=1)
    yes: bool
    day: dt.date = Field(gt=dt.date(2020, 1, 1))
    moment: dt.datetime
    label: Literal["a", "b"] = Field(json_schema_extra={"evidence": True})
    maybe: Literal["a", None]
    mood: Mood
    perhaps: int | None
    old: Optional[Mood] = None  # noqa: UP045 (how older code writes it)
    defaulted: str = "x"
    tags: list[Annotated[str, Field(max_length=3)]] = Field(max_length=4)
    row: Sequence[Mood]
    amount: Amount
    amounts: list[Amount]
    named: Stars
    positive: PositiveInt
    short: constr(min_length=1, max_length=9, strip_whitespace=True)  # type: ignore[valid-type]
    odd: conint(ge=3)  # type: ignore[valid-type]


AMOUNT = {
    "value": FieldSpec(type="number", min=0, nullable=False),
    "currency": FieldSpec(pattern="[A-Z]{3}", nullable=False),
}
MOODS = ("good", "悪い")
EXPECTED = {
    "text": FieldSpec(nullable=False),
    "long": FieldSpec(type="text", confidence=True, nullable=False),
    "whole": FieldSpec(type="integer", min=1, max=5, description="How many stars", nullable=False),
    "beyond": FieldSpec(type="integer", min=2, max=4, nullable=False),
    "share": FieldSpec(type="number", min=math.nextafter(0, 1), max=math.nextafter(1, 0), nullable=False),
    "yes": FieldSpec(type="boolean", nullable=False),
    "day": FieldSpec(type="date", min=dt.date(2020, 1, 2), nullable=False),
    "moment": FieldSpec(type="datetime", nullable=False),
    "label": FieldSpec(type="enum", values=("a", "b"), evidence=True, nullable=False),
    "maybe": FieldSpec(type="enum", values=("a",)),
    "mood": FieldSpec(type="enum", values=MOODS, nullable=False),
    "perhaps": FieldSpec(type="integer"),
    "old": FieldSpec(type="enum", values=MOODS),
    "defaulted": FieldSpec(),
    "tags": FieldSpec(type="list", items=FieldSpec(max_length=3), max_items=4, nullable=False),
    "row": FieldSpec(type="list", items=FieldSpec(type="enum", values=MOODS), nullable=False),
    "amount": FieldSpec(type="object", description="An amount of money.", fields=AMOUNT, nullable=False),
    "amounts": FieldSpec(
        type="list",
        items=FieldSpec(type="object", description="An amount of money.", fields=AMOUNT),
        nullable=False,
    ),
    "named": FieldSpec(type="integer", nullable=False),
    "positive": FieldSpec(type="integer", min=1, nullable=False),
    "short": FieldSpec(max_length=9, nullable=False),
    "odd": FieldSpec(type="integer", min=3, nullable=False),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_attribute_says_its_field(name: str) -> None:
    assert fields_of(Everything)[name] == EXPECTED[name]


def test_all_attributes_in_their_order() -> None:
    assert list(fields_of(Everything)) == list(Everything.model_fields) == list(EXPECTED)
    assert hint_of(Everything) == "A review, read closely."
    assert hint_of(type("Bare", (BaseModel,), {})) == ""


def test_a_pass_takes_a_class() -> None:
    spec = PassSpec(name="read", prompt="{{ text }}", fields=Amount)  # type: ignore[arg-type]
    assert spec.fields == AMOUNT
    assert spec == PassSpec(name="read", prompt="{{ text }}", fields=AMOUNT)


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [("^a+$", "aa", "ba"), ("a+", "xay", "xyz"), ("^a|b$", "xb", "xbx"), ("^a", "ab", "ba"), (r"\$$", "5$", "$5")],
)
def test_a_pattern_finds_what_pydantic_finds(pattern: str, fits: str, misses: str) -> None:
    model = type("M", (BaseModel,), {"__annotations__": {"x": Annotated[str, Field(pattern=pattern)]}})
    read = compile_field("x", fields_of(model)["x"]).settle
    for text, right in ((fits, True), (misses, False)):
        try:
            model(x=text)
        except ValueError:
            assert not right
        else:
            assert right
        if right:
            assert read(text)[0] == text
        else:
            with pytest.raises(Unfit):
                read(text)


class Endless(BaseModel):
    inner: Endless | None = None


class Deep(BaseModel):
    amount: Amount = Field(json_schema_extra={"evidence": True})
    wrong: list[dict[str, int]]


REFUSED: dict[str, tuple[Any, str]] = {
    "any": (Any, "Any cannot be asked of a model"),
    "dict": (dict[str, int], "dict[str, int] cannot be asked of a model"),
    "union": (int | str, "a union of several types (int | str)"),
    "bare list": (list, "list cannot be asked of a model"),
    "two types": (tuple[int, str], "is a list of several types"),
    "numbers to choose from": (Literal[1, 2], "must be texts"),
    "nulls in a list": (list[int | None], "nulls within a list"),
    "bytes": (bytes, "bytes cannot be asked"),
    "time": (dt.time, "time cannot be asked"),
    "steps": (Annotated[int, Field(multiple_of=5)], "`multiple_of` cannot be held"),
    "digits": (Annotated[Decimal, Field(max_digits=3)], "`max_digits` cannot be held"),
    "at least two": (Annotated[list[str], Field(min_length=2)], "`min_length` cannot be held"),
    "long enough": (Annotated[str, Field(min_length=5)], "`min_length` cannot be held"),
    "no range": (Annotated[int, Field(ge=5, le=1)], "`min` 5 is above `max` 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_field_cannot_say_is_refused_by_name(case: str) -> None:
    annotation, message = REFUSED[case]
    model = type("Wrong", (BaseModel,), {"__annotations__": {"here": annotation}})
    with pytest.raises(SpecError) as caught:
        fields_of(model)
    assert caught.value.key is not None
    assert caught.value.key.startswith("Wrong.here")
    assert message in caught.value.message


def test_a_class_that_holds_itself_or_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match="Endless holds itself"):
        fields_of(Endless)
    with pytest.raises(SpecError, match="has no fields"):
        fields_of(type("Bare", (BaseModel,), {}))


def test_a_mistake_deep_inside_names_its_place() -> None:
    with pytest.raises(SpecError) as caught:
        read_fields(Deep)
    assert caught.value.key == "Deep.wrong[]"


def test_configuration_of_a_class_is_no_field() -> None:
    class Configured(BaseModel):
        model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
        note: str
        """What the guest notes"""

    assert fields_of(Configured)["note"].description == "What the guest notes"
