"""Runs in dbt's own environment: dbt commands in one process, one JSON line of results each.

usage: driver.py PROJECT '[["build"], ["test", "--select", "x"]]'
"""

import json
import sys

from dbt.cli.main import dbtRunner


def told(result):
    out = {"success": result.success, "error": str(result.exception or ""), "nodes": {}}
    for each in getattr(result.result, "results", None) or ():
        out["nodes"][each.node.name] = [str(each.status), each.message or ""]
    return out


def main():
    folder, commands = sys.argv[1], json.loads(sys.argv[2])
    for command in commands:
        words = [*command, "--project-dir", folder, "--profiles-dir", folder]
        result = dbtRunner().invoke(words)
        print("RESULT " + json.dumps(told(result)), flush=True)


main()
