"""`model: auto`: what it takes of an environment, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from inlay.providers.auto import OFFERS, choose

DEMO = Path(__file__).parents[3] / "examples" / "job_postings" / "demo.sh"
AWS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"}


@pytest.mark.parametrize(
    ("env", "provider"),
    [
        ({}, ""),
        ({"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}, "openai"),
        ({"ANTHROPIC_API_KEY": "b"}, "anthropic"),
        ({"AZURE_OPENAI_API_KEY": "c"}, ""),
        ({"AZURE_OPENAI_API_KEY": "c", "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com"}, ""),
        (
            {
                "AZURE_OPENAI_API_KEY": "c",
                "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com",
                "AZURE_OPENAI_DEPLOYMENT": "mine",
            },
            "azure",
        ),
        ({"AWS_BEARER_TOKEN_BEDROCK": "d", "AWS_REGION": "eu-central-1"}, "bedrock"),
        ({"AWS_BEARER_TOKEN_BEDROCK": "d"}, ""),
        # They are on many machines for other work: that is no wish to pay Bedrock.
        (AWS, ""),
        ({"AWS_PROFILE": "work", "AWS_REGION": "eu-central-1"}, ""),
    ],
)
def test_the_first_whole_offer_is_taken(env: dict[str, str], provider: str) -> None:
    assert choose(env)[0].partition(":")[0] == provider


def test_what_is_half_set_is_named() -> None:
    assert choose({"AZURE_OPENAI_API_KEY": "c"})[1] == "AZURE_OPENAI_API_KEY is set, but not AZURE_OPENAI_ENDPOINT"


def test_credentials_for_other_work_are_an_offer_all_the_same() -> None:
    bedrock = next(offer for offer in OFFERS if offer.provider == "bedrock")
    assert bedrock.credential(AWS) == ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    assert bedrock.missing(AWS) == []


def test_the_demonstration_unsets_every_key_that_auto_would_take() -> None:
    said = DEMO.read_text("utf-8")
    for offer in OFFERS:
        for names in offer.credentials:
            assert any(f"{name}" in said.split("echo")[0] for name in names), names
