# A pool of threads over the provider's own client: as many calls at a time as Inlay makes.
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pandas as pd
from openai import OpenAI
from pydantic import BaseModel


class Review(BaseModel):
    sentiment: Literal["positive", "neutral", "negative"] | None
    stars: int | None
    topics: list[str]


client = OpenAI()


def ask(text):
    return (
        client.chat.completions.parse(
            model="gpt-6-luna",
            messages=[{"role": "user", "content": f"Read this review: {text}"}],
            response_format=Review,
        )
        .choices[0]
        .message.parsed.model_dump()
    )


rows = pd.read_csv("reviews.csv", dtype=str)
with ThreadPoolExecutor(20) as pool:
    answers = list(pool.map(ask, rows.text))
rows.join(pd.DataFrame(answers)).to_csv("out.csv", index=False)
