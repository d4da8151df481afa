"""A scorer for `reward.kind: http`: a step that repeats an earlier one scores 0, and other steps get no opinion.

    python3 scorer.py 9000
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def reward(question, steps, step):
    """A number from 0 to 1, or None for no opinion."""
    return 0.0 if step.strip() in (earlier.strip() for earlier in steps) else None


def answer(body):
    """The answer for one step, or for the steps of a batch."""
    if "items" in body:
        return {"rewards": [reward(item["question"], item["steps"], item["step"]) for item in body["items"]]}
    return {"reward": reward(body["question"], body["steps"], body["step"])}


class Scorer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = json.dumps(answer(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    ThreadingHTTPServer(("127.0.0.1", port), Scorer).serve_forever()
