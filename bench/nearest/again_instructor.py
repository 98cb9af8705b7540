# instructor with asyncio: typed answers, as many calls at a time as Inlay makes.
import asyncio
from typing import Literal

import instructor
import pandas as pd
from openai import AsyncOpenAI
from pydantic import BaseModel


class Review(BaseModel):
    sentiment: Literal["positive", "neutral", "negative"] | None
    stars: int | None
    topics: list[str]


client = instructor.from_openai(AsyncOpenAI(), mode=instructor.Mode.JSON_SCHEMA)
places = asyncio.Semaphore(20)


async def ask(text):
    async with places:
        return await client.chat.completions.create(
            model="gpt-6-luna",
            messages=[{"role": "user", "content": f"Read this review: {text}"}],
            response_model=Review,
        )


async def main():
    rows = pd.read_csv("reviews.csv", dtype=str)
    answers = await asyncio.gather(*map(ask, rows.text))
    rows.join(pd.DataFrame([a.model_dump() for a in answers])).to_csv("out.csv", index=False)


asyncio.run(main())
