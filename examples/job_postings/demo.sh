#!/bin/sh
# The demonstration behind `make demo`: forty-eight postings, three passes, no key, no service, nothing paid.
# usage: demo.sh PATH-OF-INLAY
set -eu
inlay=$1
declaration=examples/job_postings/inlay.yaml
# A key in this environment would make `model: auto` ask a real provider; a demonstration spends nobody's money.
unset OPENAI_API_KEY OPENAI_BASE_URL ANTHROPIC_API_KEY AZURE_OPENAI_API_KEY AZURE_OPENAI_AD_TOKEN || true
unset AWS_BEARER_TOKEN_BEDROCK || true

echo
echo "\$ inlay run $declaration"
"$inlay" run "$declaration"
echo
columns=title,ext_work_model,ext_salary_min,ext_salary_currency,inf_job_family,inf_seniority,inf_seniority_confidence
echo "\$ inlay show $declaration --limit 12 --columns $columns"
"$inlay" show "$declaration" --limit 12 --columns "$columns"
echo
echo "\$ inlay report $declaration"
"$inlay" report "$declaration"
cat <<'EOF'

What you see: one row a posting; where there is no value, the reason stands in its place. Every answer is kept in
examples/job_postings/.inlay and published in examples/job_postings/enriched.parquet, with evidence and confidence.
Open examples/job_postings/report.html in a browser: coverage, values, confidence, and postings with the evidence marked.

Next:
  . .venv/bin/activate                                  then `inlay` is a command
  inlay run examples/job_postings/inlay.yaml            again: nothing is asked twice
  inlay show examples/job_postings/inlay.yaml --columns title,inf_seniority,inf_seniority_evidence
  export OPENAI_API_KEY=…; inlay plan examples/job_postings/inlay.yaml --refresh stale
                                                        the same with a real model: what would it cost?
Then copy examples/job_postings/inlay.yaml and put your own table in it.
EOF
