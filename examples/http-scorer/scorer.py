"""A scorer for `reward.kind: http`: a step that repeats an earlier one scores 0, and other steps get no opinion.

    python3 scorer.py 9000
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def reward(question, steps, step):
    """A number from 0 to 1, or None for no opinion."""
    return 0.0 if step.strip() in (earlier.strip() for earlier in steps) else None


class Scorer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"reward": reward(body["question"], body["steps"], body["step"])}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    ThreadingHTTPServer(("127.0.0.1", port), Scorer).serve_forever()
