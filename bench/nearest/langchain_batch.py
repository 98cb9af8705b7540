# LangChain's batch: typed answers, concurrent; no resume, no budget, no evidence check; written at the end.
import csv
import json
from typing import Literal

from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Review(BaseModel):
    sentiment: Literal["positive", "neutral", "negative"]
    topics: list[str]


model = ChatOpenAI(model="gpt-6-luna").with_structured_output(Review, method="json_schema")
with open("reviews.csv", newline="") as source:
    rows = list(csv.DictReader(source))
answers = model.batch([f"Read this review: {row['text']}" for row in rows], config={"max_concurrency": 32})
with open("out.csv", "w", newline="") as target:
    out = csv.DictWriter(target, [*rows[0], "sentiment", "topics"])
    out.writeheader()
    for row, review in zip(rows, answers, strict=True):
        out.writerow({**row, "sentiment": review.sentiment, "topics": json.dumps(review.topics)})
