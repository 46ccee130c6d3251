"""Asks nodes for their stats and says who is Lord of the legion, and why.

    legion.py PORT...

One line on standard output and status 0 when exactly one of the nodes says it
is Lord and all the others agree; status 1 and no line while that is not so.
SPDX-License-Identifier: Apache-2.0
"""

import http.client
import json
import sys
import urllib.request


def stats(port):
    """The node's stats as a dict, or None while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1) as answer:
            return json.load(answer)
    except (OSError, ValueError, http.client.HTTPException):
        return None


def verdict(nodes):
    """The line for {number: its first legion's stats}, or None."""
    lords = [number for number, legion in nodes.items() if legion["i_am_the_lord"]]
    if len(lords) != 1:
        return None
    lord = nodes[lords[0]]
    if any(legion["lord_uuid"] != lord["uuid"] for legion in nodes.values()):
        return None
    voters = ", ".join(
        f"node {number} (valor {legion['valor']})" for number, legion in sorted(nodes.items())
    )
    return (
        f"node {lords[0]} is Lord: valor {lord['valor']} is the highest of {voters}; "
        f"{lord['votes']} votes, {lord['quorum']} needed; title {lord['epoch']}"
    )


def main(ports):
    nodes = {}
    for number, port in enumerate(ports, 1):
        answer = stats(int(port))
        if answer and answer.get("legions"):
            nodes[number] = answer["legions"][0]
    line = verdict(nodes)
    if line is None:
        return 1
    print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
