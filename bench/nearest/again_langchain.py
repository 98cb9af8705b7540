# LangChain's batch with its cache in SQLite, failures kept as such: the best of its own means.
from typing import Literal

import pandas as pd
from langchain_community.cache import SQLiteCache
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Review(BaseModel):
    sentiment: Literal["positive", "neutral", "negative"] | None
    stars: int | None
    topics: list[str]


set_llm_cache(SQLiteCache("cache.db"))
model = ChatOpenAI(model="gpt-6-luna").with_structured_output(Review)
rows = pd.read_csv("reviews.csv", dtype=str)
answers = model.batch(
    [f"Read this review: {t}" for t in rows.text], config={"max_concurrency": 20}, return_exceptions=True
)
found = [a.model_dump() if isinstance(a, Review) else {} for a in answers]
rows.join(pd.DataFrame(found)).to_csv("out.csv", index=False)
