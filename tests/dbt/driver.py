"""Runs in dbt's own environment: a line of JSON in (a project's folder and a dbt command), a line of results out.

One process for all tests, since importing dbt takes longer than most of its commands.
"""

import json
import sys

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.factory import FACTORY
from dbt.cli.main import dbtRunner


def told(result):
    nodes = {}
    for each in getattr(result.result, "results", None) or ():
        nodes[each.node.name] = [str(each.status), (each.message or "")[:2000]]
    return {"success": result.success, "error": str(result.exception or ""), "nodes": nodes}


def main():
    for line in sys.stdin:
        folder, command = json.loads(line)
        where = ["--project-dir", folder, "--profiles-dir", folder, "--log-level", "error", "--no-use-colors"]
        result = dbtRunner().invoke([*command, *where])
        FACTORY.cleanup_connections()
        FACTORY.reset_adapters()
        DuckDBConnectionManager.close_all_connections()  # it would hold the file until the process ends
        print("RESULT " + json.dumps(told(result)), flush=True)


main()
