"""The rows of the silver rule (seed B) with the answers that were published for them, and what must come of it.

Defect 2: empty and blank texts are missing, too. Defect 15: an answer to another name is not served.
"""

from __future__ import annotations

DECLARATION = """
name: tenant_nationality
source: {{connection: "${{NOT_SET_ANYWHERE}}", table: {tenants}, key: id}}
select: {{missing: nationality, placeholders: [レソト]}}
passes:
  - name: nationality
    model: openai:gpt-6-luna
    prompt: "The nationality of {{{{ full_name }}}}"
    accept_above: 0.7
    fields:
      nationality:
        type: enum
        values: [日本, 中国, レソト, "Côte d'Ivoire", 'back\\slash', "{{{{ not_jinja }}}}"]
        description: "Where {{{{ somebody }}}} is from; 'quoted' \\ {{% odd %}}"
        confidence: true
        evidence: true
        default: その他's \\ {{{{ x }}}}
output: {{table: {cache}, prefix: llm_, inputs: true}}
"""
DEFAULT = "その他's \\ {{ x }}"

TENANTS: tuple[tuple[int, str | None, str | None], ...] = (
    (1, "a", None),
    (2, "b", ""),
    (3, "c", "   "),
    (4, "d", "\u3000"),
    (5, "e", "レソト"),
    (6, "f", "レソト "),
    (7, "g", "フランス"),
    (8, "h", "フランス"),
    (9, "株式会社", None),
    (10, "j", None),
    (11, "k", None),
    (12, "renamed", None),
    (13, "renamed", ""),
    (14, None, None),
    (15, "o", None),
    (16, "p", "フランス"),
    (17, "q", "\u3000レソト\t"),
    (18, "r", " ドイツ "),
    (19, "Smith", None),
    (20, "Smith ", None),
)
# id: value, confidence, null_reason, source, the input it was given for
Answer = tuple[str | None, float | None, str | None, str, str | None]
ANSWERS: dict[int, Answer] = {
    1: ("日本", 0.9, None, "model:m", "a"),
    2: ("中国", 0.9, None, "model:m", "b"),
    3: ("日本", 0.9, None, "model:m", "c"),
    4: ("Côte d'Ivoire", 0.9, None, "model:m", "d"),
    5: ("{{ not_jinja }}", 0.9, None, "model:m", "e"),
    6: ("back\\slash", 0.9, None, "model:m", "f"),
    7: ("日本", 0.9, None, "model:m", "g"),
    8: ("中国", None, None, "human", "h"),
    9: ("日本", None, None, "rule", "株式会社"),
    10: (None, 0.4, "below_threshold", "model:m", "j"),
    12: ("日本", 0.9, None, "model:m", "earlier"),
    13: ("中国", None, None, "human", "earlier"),
    14: ("日本", 0.9, None, "model:m", None),
    15: (None, None, "not_applicable", "rule", "o"),
    16: (None, None, "not_applicable", "human", "p"),
    17: ("レソト", 0.8, None, "model:m", "q"),
    19: ("日本", 0.9, None, "model:m", "SMITH"),
    20: ("日本", 0.9, None, "model:m", "Smith"),
}
# id: value, who gave it, what is shown as predicted, why it is null
EXPECTED: dict[int, tuple[str | None, str | None, str | None, str | None]] = {
    1: ("日本", "model", "日本", None),
    2: ("中国", "model", "中国", None),
    3: ("日本", "model", "日本", None),
    4: ("Côte d'Ivoire", "model", "Côte d'Ivoire", None),
    5: ("{{ not_jinja }}", "model", "{{ not_jinja }}", None),
    6: ("back\\slash", "model", "back\\slash", None),
    7: ("フランス", "original", "日本", None),
    8: ("中国", "human", "中国", None),
    9: ("日本", "rule", "日本", None),
    10: (DEFAULT, "default", None, "below_threshold"),
    11: (DEFAULT, "default", None, None),
    12: (DEFAULT, "default", None, "input_changed"),
    13: ("中国", "human", "中国", None),
    14: ("日本", "model", "日本", None),
    15: (None, "rule", None, "not_applicable"),
    16: (None, "human", None, "not_applicable"),
    17: ("レソト", "model", "レソト", None),
    18: (" ドイツ ", "original", None, None),
    19: (DEFAULT, "default", None, "input_changed"),
    20: (DEFAULT, "default", None, "input_changed"),
}
