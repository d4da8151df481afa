"""What asking a serving machine costs: latency of `/metrics` and of the admin API while it writes an answer.

Start a server on this machine, then run this beside it. Nothing but Python is needed.

    mistralrs-rsd serve --rsd config/demo.yaml
    python overhead.py --rounds 60

Answers are streamed one after the other in the background. In turn, rounds with calls and rounds without are timed by
the server's own stream: how long the text pauses between two pieces says whether a call has kept a token waiting. The
threshold is set to the value that it has.
"""

import argparse
import json
import os
import pathlib
import statistics
import threading
import time
import urllib.request

QUESTION = "A farmer sells 14 crates of 24 apples and 9 crates of 36 pears. How much fruit is that? Reason step by step."


def token_file():
    """Where a server on this machine leaves the address and the tokens of its admin listener."""
    base = os.environ.get("XDG_RUNTIME_DIR") or pathlib.Path.home() / ".local/state"
    files = sorted(pathlib.Path(base, "mistralrs-rsd").glob("admin-*.json"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise SystemExit("no server of this machine has left its tokens; is one running, with the admin API on?")
    return json.loads(files[-1].read_text(encoding="utf-8"))


def call(url, token=None, body=None, method=None, match=None):
    """A request's headers and body."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if match:
        headers["If-Match"] = match
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.headers, response.read()


class Stream(threading.Thread):
    """Asks for one answer after the other and notes when pieces of text arrive."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)
        self.endpoint, self.arrivals, self.over = endpoint, [], False

    def run(self):
        body = {"model": "draft", "messages": [{"role": "user", "content": QUESTION}], "stream": True, "temperature": 0}
        while not self.over:
            request = urllib.request.Request(
                f"{self.endpoint}/v1/chat/completions",
                data=json.dumps(body | {"max_tokens": 200}).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=600) as response:
                for line in response:
                    if line.startswith(b"data: {"):
                        self.arrivals.append(time.monotonic())
                    if self.over:
                        return
            # Between two answers no text is written: that pause is nobody's fault.
            self.arrivals.append(None)

    def pauses(self, since, until):
        """Milliseconds between pieces that arrived in this time."""
        pairs = zip(self.arrivals, self.arrivals[1:])
        return [1e3 * (b - a) for a, b in pairs if a is not None and b is not None and since <= a and b <= until]


def main():
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="calls of each kind (default: 60)")
    parser.add_argument("--pause", type=float, default=0.25, help="seconds between two calls (default: 0.25)")
    args = parser.parse_args()
    there = token_file()
    policy = f"{there['admin']}/admin/v1/policy"

    def patch(query):
        headers, body = call(policy, there["read_token"])
        delta = json.loads(body)["values"]["policy"]["delta"]
        change = {"set": {"policy": {"delta": delta}}}
        began = time.monotonic()
        call(policy + query, there["write_token"], change, "PATCH", headers["ETag"])
        return time.monotonic() - began

    def get(url, token=None):
        began = time.monotonic()
        call(url, token)
        return time.monotonic() - began

    calls = {
        "GET /metrics": lambda: get(f"{there['endpoint']}/metrics"),
        "GET policy": lambda: get(policy, there["read_token"]),
        "GET status": lambda: get(f"{there['admin']}/admin/v1/status", there["read_token"]),
        "PATCH policy, dry run": lambda: patch("?dry_run=true"),
        "PATCH policy": lambda: patch(""),
    }
    stream = Stream(there["endpoint"])
    stream.start()
    while len(stream.arrivals) < 5:
        time.sleep(0.1)
    took = {name: [] for name in calls}
    pauses = {"with calls": [], "without": []}
    for _ in range(args.rounds):
        began = time.monotonic()
        for name, measure in calls.items():
            took[name].append(1e3 * measure())
            time.sleep(args.pause)
        between = time.monotonic()
        time.sleep(between - began)
        pauses["with calls"] += stream.pauses(began, between)
        pauses["without"] += stream.pauses(between, time.monotonic())
    stream.over = True
    print("| call | ms, median | p95 | longest |\n|---|---|---|---|")
    for name, times in took.items():
        times.sort()
        print(f"| {name} | {statistics.median(times):.2f} | {times[int(0.95 * len(times))]:.2f} | {times[-1]:.2f} |")
    print("\n| pauses between pieces of text, ms | median | p95 | longest |\n|---|---|---|---|")
    for name, times in pauses.items():
        times.sort()
        print(f"| {name} | {statistics.median(times):.1f} | {times[int(0.95 * len(times))]:.1f} | {times[-1]:.1f} |")


if __name__ == "__main__":
    main()
