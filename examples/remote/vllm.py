"""Checks that RSD over two vLLM servers is exact, whatever draft and target say.

    vllm serve DRAFT --port 8000 --enable-prompt-tokens-details
    vllm serve TARGET --port 8001 --enable-prompt-tokens-details
    python vllm.py --draft http://127.0.0.1:8000 --target http://127.0.0.1:8001 --tokenizer tokenizer.json

It starts `mistralrs-rsd serve` with config/remote-vllm.yaml on a free port and asks it greedily:

- at delta 2 every drafted step is rejected, and the answer must be what the target's vLLM gives for the whole question;
- at delta 0 every step is accepted, and the answer must be what the draft's vLLM gives;
- between them the steps of the trace are asked for once more, each from the engine that decoded it and after the token
  ids of the steps before. The ids of all of them together must decode to the answer.

A score is a digest of the step here, so no reward model is needed and both models take part. It prints a table and ends
with status 1 if an answer differs. It needs only Python. vLLM rounds a prompt that it prefills as a whole in another
way than the same tokens in parts, so in bfloat16 two tokens that are nearly equally likely can change places; each
difference is printed with the log-probabilities of both. `--dtype float32` makes that rare.
"""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "http-scorer"))

import scorer

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
# The thresholds of the table: the target alone, the draft alone, and both.
DELTAS = (2, 0, 0.5)


def arguments():
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draft", required=True, help="base URL of the draft's vLLM, without /v1")
    parser.add_argument("--target", required=True, help="base URL of the target's vLLM, without /v1")
    parser.add_argument("--tokenizer", required=True, type=pathlib.Path, help="tokenizer.json that both models have")
    parser.add_argument("--bin", default="mistralrs-rsd", help="the program (default: mistralrs-rsd)")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "examples" / "questions.jsonl", help="question file")
    parser.add_argument("--questions", type=int, default=20, help="number of questions (default: 20)")
    parser.add_argument("--max-tokens", type=int, default=64, help="limit of tokens per answer (default: 64)")
    parser.add_argument("--api-key-env", default="VLLM_API_KEY", help="variable with vLLM's key (default: %(default)s)")
    return parser.parse_args()


def digest_score(question, steps, step):
    """A number from 0 to 1 that follows from the step alone."""
    return hashlib.sha256(step.encode()).digest()[0] / 255


def post(url, body, key=None):
    """The reply to a request, as JSON."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=3600) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url} answered {error.code}: {error.read().decode(errors='replace')[:500]}") from None


class Engine:
    """One vLLM server."""

    def __init__(self, url, key):
        self.url, self.key = url.rstrip("/"), key
        request = urllib.request.Request(f"{self.url}/v1/models", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            self.model = json.load(reply)["data"][0]["id"]

    def post(self, path, **body):
        return post(f"{self.url}{path}", {"model": self.model, **body}, self.key)

    def prompt(self, messages):
        """The token ids of a conversation."""
        return self.post("/tokenize", messages=messages, add_generation_prompt=True)["tokens"]

    def continued(self, ids, tokens):
        """What the model says after these ids: its token ids, without the one that ends the answer."""
        limits = {"max_tokens": tokens, "temperature": 0}
        reply = self.post("/v1/completions", prompt=ids, return_token_ids=True, **limits)
        choice = reply["choices"][0]
        ended = choice["finish_reason"] == "stop"
        return choice["token_ids"][: len(choice["token_ids"]) - ended]

    def text(self, ids):
        return self.post("/detokenize", tokens=ids)["prompt"] if ids else ""

    def likeliest(self, ids):
        """The likeliest next tokens with their log-probabilities."""
        reply = self.post("/v1/completions", prompt=ids, max_tokens=1, temperature=0, logprobs=4)
        top = reply["choices"][0]["logprobs"]["top_logprobs"][0]
        return ", ".join(f"{token!r} {value:.3f}" for token, value in top.items())


@contextlib.contextmanager
def serving(program, settings):
    """The base URL of a server with config/remote-vllm.yaml and these settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "serve", "--rsd", str(ROOT / "config" / "remote-vllm.yaml"), "--port", str(port)]
    for path, value in settings.items():
        command += ["--set", f"{path}={value if isinstance(value, str) else json.dumps(value)}"]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(1200):
                if server.poll() is not None:
                    log.seek(0)
                    raise SystemExit(f"{program} ended with status {server.returncode}:\n{log.read()[-2000:]}")
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{url}/ready", timeout=5).close()
                    break
                time.sleep(0.1)
            else:
                raise SystemExit(f"{program} is not ready after two minutes")
            yield url
        finally:
            server.terminate()
            server.wait()


def ask(url, question, delta, max_tokens):
    """The text of an answer, its number of tokens, and its trace."""
    rsd = {"delta": delta, "weighting": "binary", "after_rejection": "draft", "trace": True}
    body = {"messages": messages(question), "temperature": 0, "max_tokens": max_tokens, "rsd": rsd}
    reply = post(f"{url}/v1/chat/completions", body)
    trace = reply["rsd"]["choices"][0]
    return reply["choices"][0]["message"]["content"], reply["usage"]["completion_tokens"], trace


def messages(question):
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


def replayed(engines, prompt, steps):
    """The ids of an answer: each step from the engine that decoded it, after the ids of the steps before."""
    ids = []
    for step in steps:
        # The token that ends the answer is asked for, too: an answer that goes on is not the same.
        asked = step["tokens"] + (step["end"] == "end_of_text")
        ids += engines[step["source"]].continued(prompt + ids, asked)
    return ids


def difference(engine, prompt, ids, found):
    """Where an engine's answer and the text that was found part, and what the engine thinks of it."""
    shared = next((n for n in range(len(ids)) if not found.startswith(engine.text(ids[: n + 1]))), len(ids))
    after = engine.text(ids[:shared])
    return (
        f"  after {after[-40:]!r}: expected {engine.text(ids)[len(after):][:40]!r}, found {found[len(after):][:40]!r}\n"
        f"  likeliest: {engine.likeliest(prompt + ids[:shared])}"
    )


def check(engines, url, question, delta, max_tokens):
    """The trace of an answer, and what is wrong with it."""
    text, tokens, trace = ask(url, question, delta, max_tokens)
    steps, wrong = trace["steps"], []
    target = engines["target"]
    prompt = target.prompt(messages(question))
    if delta in (0, 2):
        engine = engines["draft" if delta == 0 else "target"]
        ids = engine.continued(prompt, max_tokens)
    else:
        engine, ids = target, replayed(engines, prompt, steps)
    if (engine.text(ids), len(ids)) != (text, tokens):
        wrong.append(f"{len(ids)} tokens expected, {tokens} found\n" + difference(engine, prompt, ids, text))
    if ("".join(step["text"] for step in steps), sum(step["tokens"] for step in steps)) != (text, tokens):
        wrong.append("the steps of the trace are not the answer")
    if not trace["shared_vocabulary"]:
        wrong.append("the vocabularies are not the same")
    wrong += [f"step {step['index']} is a fallback: {step['fallback']}" for step in steps if step.get("fallback")]
    return trace, wrong


def main():
    """Asks every question at every threshold and prints the table."""
    args = arguments()
    key = os.environ.setdefault(args.api_key_env, "none")
    engines = {"draft": Engine(args.draft, key), "target": Engine(args.target, key)}
    scorer.reward = digest_score
    scores = scorer.ThreadingHTTPServer(("127.0.0.1", 0), scorer.Scorer)
    scores.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=scores.serve_forever, daemon=True).start()
    settings = {"reward.url": f"http://127.0.0.1:{scores.server_port}/score"}
    for role, engine in engines.items():
        settings |= {
            f"roles.{role}.remote.urls": [engine.url],
            f"roles.{role}.remote.model": engine.model,
            f"roles.{role}.remote.api_key_env": args.api_key_env,
            f"roles.{role}.remote.timeouts.reply_ms": 3_600_000,
            f"roles.{role}.tokenizer": str(args.tokenizer.resolve()),
        }
    lines = args.data.read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines if line.strip()][: args.questions]
    rows = {delta: [0, 0, 0, 0] for delta in DELTAS}
    with serving(args.bin, settings) as url:
        for number, question in enumerate(questions, 1):
            for delta, row in rows.items():
                trace, wrong = check(engines, url, question, delta, args.max_tokens)
                sources = [step["source"] for step in trace["steps"]]
                tokens = sum(step["tokens"] for step in trace["steps"])
                counts = (not wrong, sources.count("draft"), sources.count("target"), tokens)
                row[:] = (old + new for old, new in zip(row, counts))
                for reason in wrong:
                    print(f"question {number}, delta {delta}: {reason}")
            print(f"{number} of {len(questions)}", flush=True)
    print("| delta | answers as the engines give them | steps of the draft | steps of the target | tokens |")
    print("|---|---|---|---|---|")
    for delta, (right, draft, target, tokens) in rows.items():
        print(f"| {delta} | {right} of {len(questions)} | {draft} | {target} | {tokens} |")
    return any(row[0] < len(questions) for row in rows.values())


if __name__ == "__main__":
    sys.exit(main())
