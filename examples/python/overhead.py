"""Measures the latency of `/metrics` and of the admin API while the server computes an answer.

Start a server on this machine that streams single tokens, then run this script. It needs only Python.

    mistralrs-rsd serve --rsd config/demo.yaml --set steps.unit=token --set limits.max_steps=1000
    python overhead.py --rounds 40

It streams answers of the draft in the background. Rounds with calls and rounds without calls alternate, and the pauses
between tokens show whether calls delay tokens. The calls change the threshold by 0.000001 and back.
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
    """The address and the tokens of the admin listener, from the file that a server on this machine has written."""
    base = os.environ.get("XDG_RUNTIME_DIR") or pathlib.Path.home() / ".local/state"
    files = sorted(pathlib.Path(base, "mistralrs-rsd").glob("admin-*.json"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise SystemExit("found no token file of a server on this machine; is one running, with the admin API enabled?")
    return json.loads(files[-1].read_text(encoding="utf-8"))


def call(url, token=None, body=None, method=None, match=None):
    """Sends a request and returns the headers and the body of the answer."""
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
    """Requests one answer after the other and records when its tokens arrive."""

    def __init__(self, endpoint):
        super().__init__(daemon=True)
        self.endpoint, self.arrivals = endpoint, []

    def run(self):
        body = {"model": "draft", "messages": [{"role": "user", "content": QUESTION}], "stream": True, "temperature": 0}
        while True:
            # Marks the start of an answer: the pause between two answers is not counted.
            self.arrivals.append(None)
            request = urllib.request.Request(
                f"{self.endpoint}/v1/chat/completions",
                data=json.dumps(body | {"max_tokens": 400}).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=600) as response:
                for line in response:
                    if line.startswith(b"data: {"):
                        choices = json.loads(line[6:])["choices"]
                        if choices and choices[0]["delta"].get("content"):
                            self.arrivals.append(time.monotonic())

    def pauses(self, since, until):
        """Milliseconds between consecutive tokens that arrived in this period."""
        pairs = zip(self.arrivals, self.arrivals[1:])
        return [1e3 * (b - a) for a, b in pairs if a is not None and b is not None and since <= a and b <= until]


def table(title, rows):
    """Prints count, median, 95th percentile and maximum of each row."""
    print(f"\n| {title} | n | median, ms | p95 | longest |\n|---|---|---|---|---|")
    for name, times in rows.items():
        times.sort()
        if times:
            p95 = times[int(0.95 * len(times))]
            print(f"| {name} | {len(times)} | {statistics.median(times):.2f} | {p95:.2f} | {times[-1]:.2f} |")


def main():
    """Measures and prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="calls of each kind (default: 40)")
    parser.add_argument("--pause", type=float, default=0.25, help="seconds between two calls (default: 0.25)")
    args = parser.parse_args()
    there = token_file()
    admin, read, write = f"{there['admin']}/admin/v1", there["read_token"], there["write_token"]

    def policy():
        headers, body = call(f"{admin}/policy", read)
        return headers["ETag"], json.loads(body)["values"]["policy"]["delta"]

    def get(url, token=None):
        began = time.monotonic()
        call(url, token)
        return time.monotonic() - began

    def patch(delta, query=""):
        tag, _ = policy()
        began = time.monotonic()
        call(f"{admin}/policy{query}", write, {"set": {"policy": {"delta": delta}}}, "PATCH", tag)
        return time.monotonic() - began

    _, before = policy()
    beside = before + 1e-6
    calls = {
        "GET /metrics": lambda n: get(f"{there['endpoint']}/metrics"),
        "GET policy": lambda n: get(f"{admin}/policy", read),
        "GET status": lambda n: get(f"{admin}/status", read),
        "GET preview": lambda n: get(f"{admin}/preview", read),
        "PATCH policy": lambda n: patch(before if n % 2 else beside),
        "PATCH policy, dry run": lambda n: patch(0.5 if before != 0.5 else 0.4, "?dry_run=true"),
    }
    stream = Stream(there["endpoint"])
    stream.start()
    while len(stream.arrivals) < 5:
        if not stream.is_alive():
            raise SystemExit("the server ended the stream")
        time.sleep(0.1)
    took = {name: [] for name in calls}
    pauses = {"rounds with calls": [], "rounds without": []}
    for number in range(args.rounds):
        began = time.monotonic()
        for name, measure in calls.items():
            took[name].append(1e3 * measure(number))
            time.sleep(args.pause)
        between = time.monotonic()
        time.sleep(between - began)
        pauses["rounds with calls"] += stream.pauses(began, between)
        pauses["rounds without"] += stream.pauses(between, time.monotonic())
    patch(before)
    table("call", took)
    table("pause between two tokens", pauses)


if __name__ == "__main__":
    main()
