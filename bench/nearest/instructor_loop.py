# The same with instructor: typed answers and retries of bad ones; no resume, no budget, no evidence check.
import csv
import json
from typing import Literal

import instructor
from openai import OpenAI
from pydantic import BaseModel


class Review(BaseModel):
    sentiment: Literal["positive", "neutral", "negative"]
    topics: list[str]


client = instructor.from_openai(OpenAI(), mode=instructor.Mode.JSON_SCHEMA)
with open("reviews.csv", newline="") as source, open("out.csv", "w", newline="") as target:
    rows = csv.DictReader(source)
    out = csv.DictWriter(target, [*rows.fieldnames, "sentiment", "topics"])
    out.writeheader()
    for row in rows:
        review = client.chat.completions.create(
            model="gpt-6-luna",
            response_model=Review,
            messages=[{"role": "user", "content": f"Read this review: {row['text']}"}],
        )
        out.writerow({**row, "sentiment": review.sentiment, "topics": json.dumps(review.topics)})
        target.flush()
