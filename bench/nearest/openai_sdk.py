# A plain loop over the provider's own client: no resume, no budget, no evidence check, no retry of bad answers.
import csv
import json

from openai import OpenAI

client = OpenAI()
schema = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": ["positive", "neutral", "negative"]},
        "topics": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["sentiment", "topics"],
    "additionalProperties": False,
}
with open("reviews.csv", newline="") as source, open("out.csv", "w", newline="") as target:
    rows = csv.DictReader(source)
    out = csv.DictWriter(target, [*rows.fieldnames, "sentiment", "topics"])
    out.writeheader()
    for row in rows:
        answer = client.chat.completions.create(
            model="gpt-6-luna",
            messages=[{"role": "user", "content": f"Read this review: {row['text']}"}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "review", "schema": schema, "strict": True},
            },
        )
        fields = json.loads(answer.choices[0].message.content)
        out.writerow({**row, "sentiment": fields["sentiment"], "topics": json.dumps(fields["topics"])})
        target.flush()
