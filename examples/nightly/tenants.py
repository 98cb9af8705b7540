"""The operator's own database, from which every night's dump is made by `mariadb-dump`: what Inlay never sees.

50,425 tenants as document B counts them: 654 without a nationality (NULL), 545 with an empty one, 802 with the
placeholder レソト, which an old form had as its first choice. What stays true: the same day is always the same table.
"""

# ruff: noqa: S311 (rows for an example, no secrets)
from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

from names import Crowd, Person

TENANTS, NULLS, EMPTY, PLACEHOLDERS = 50_425, 654, 545, 802
PLACEHOLDER = "レソト"
LIVING_HERE = (9, 11, 14, 15, 16)
STATUSES = (*LIVING_HERE, 1, 2, 3, 5, 20, 21)

CREATE = """
CREATE TABLE tenants (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  last_name VARCHAR(191) NULL,
  first_name VARCHAR(191) NULL,
  full_name VARCHAR(191) NULL,
  nationality VARCHAR(191) NULL,
  status TINYINT UNSIGNED NOT NULL,
  affiliation VARCHAR(191) NULL,
  created_at DATETIME NOT NULL,
  updated_at DATETIME NOT NULL,
  PRIMARY KEY (id),
  KEY idx_status (status)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci
"""
CREATE_ROOMS = """
CREATE TABLE rooms (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  house VARCHAR(191) NOT NULL,
  number VARCHAR(20) NOT NULL,
  rent INT NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
"""
COLUMNS = (
    "id",
    "last_name",
    "first_name",
    "full_name",
    "nationality",
    "status",
    "affiliation",
    "created_at",
    "updated_at",
)
Row = tuple[Any, ...]


def first_day() -> Iterator[Row]:
    """The table of the first night: 2,001 rows lack a nationality, each of another person."""
    draw = random.Random(11)
    crowd = Crowd(seed=2026)
    kinds = [None] * NULLS + [""] * EMPTY + [PLACEHOLDER] * PLACEHOLDERS
    kinds += ["known"] * (TENANTS - len(kinds))
    draw.shuffle(kinds)
    for number, kind in enumerate(kinds, start=1):
        if kind == "known":
            # One in sixty is a firm; among so many, names repeat.
            one = crowd.company() if draw.random() < 1 / 60 else crowd.person()
            yield row(number, one, one.nationality, draw)
        else:
            yield row(number, crowd.somebody_new(), kind, draw)


def row(number: int, one: Person, nationality: str | None, draw: random.Random) -> Row:
    """A tenant as the operator's application writes it."""
    created = dt.datetime(2015, 4, 1) + dt.timedelta(minutes=draw.randrange(60 * 24 * 3900))
    updated = created + dt.timedelta(minutes=draw.randrange(60 * 24 * 60))
    affiliation = draw.choice(("東京大学", "早稲田大学", "Rakuten", "自営業", None, "", "国際交流財団"))
    status = draw.choice(STATUSES)
    return number, one.last_name, one.first_name, one.full_name, nationality, status, affiliation, created, updated


def newcomers(first: int, count: int, lacking: int, *, seed: int) -> list[Row]:
    """`count` tenants who moved in later; `lacking` of them left their nationality open, under names of their own."""
    draw = random.Random(seed)
    crowd = Crowd(seed=seed)
    taken = {each[3] for each in first_day()}
    rows = []
    for number in range(first, first + count):
        open_ = number - first < lacking
        one = crowd.somebody_new()
        while open_ and one.full_name in taken:
            one = crowd.somebody_new()
        taken.add(one.full_name)
        rows.append(row(number, one, None if open_ else one.nationality, draw))
    return rows
