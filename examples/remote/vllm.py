"""Checks that RSD over two vLLM servers is exact, whatever draft and target say.

    vllm serve DRAFT --port 8000 --enable-prompt-tokens-details
    vllm serve TARGET --port 8001 --enable-prompt-tokens-details
    python vllm.py --draft http://127.0.0.1:8000 --target http://127.0.0.1:8001 --tokenizer tokenizer.json

With a reward model that vLLM serves in the format of Qwen2.5-Math-PRM, every score is compared, too:

    vllm serve PRM --port 8002 --runner pooling
    python vllm.py ... --prm http://127.0.0.1:8002 --prm-tokenizer prm/tokenizer.json

It starts `mistralrs-rsd serve` with config/remote-vllm.yaml or config/remote-rewards.yaml on a free port and asks it
greedily:

- at delta 2 every drafted step is rejected, and the answer must be what the target's vLLM gives for the whole question;
- at delta 0 every step is accepted, and the answer must be what the draft's vLLM gives;
- between them the steps of the trace are asked for once more, each from the engine that decoded it and after the token
  ids of the steps before. The ids of all of them together must decode to the answer.

`--delta` is the threshold at which both take part. Without a reward model a score is a digest of the step. With one,
each score must be the one that vLLM gives for the published prompt. It prints a table and ends with status 1 if an
answer or a score differs. It needs only Python. vLLM rounds a prompt that it prefills as a whole in another way than
the same tokens in parts, so in bfloat16 two tokens that are nearly equally likely can change places; each difference is
printed with the log-probabilities of both. `--dtype float32` makes that rare.
"""

import argparse
import concurrent.futures
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

QUESTIONS = ROOT / "examples" / "questions.jsonl"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
# The prompt and the separator of Qwen2.5-Math-PRM (model card).
PRM_PROMPT = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}"
PRM_SEPARATOR = "<extra_0>"


def arguments():
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draft", required=True, help="base URL of the draft's vLLM, without /v1")
    parser.add_argument("--target", required=True, help="base URL of the target's vLLM, without /v1")
    parser.add_argument("--tokenizer", required=True, type=pathlib.Path, help="tokenizer.json that both models have")
    parser.add_argument("--prm", help="base URL of the vLLM that serves a reward model")
    parser.add_argument("--prm-tokenizer", type=pathlib.Path, help="tokenizer.json of the reward model")
    parser.add_argument("--delta", type=float, default=0.5, help="threshold for both models (default: 0.5)")
    parser.add_argument("--step-tokens", type=int, help="end a step after so many tokens, not at a blank line")
    parser.add_argument("--bin", default="mistralrs-rsd", help="the program (default: mistralrs-rsd)")
    parser.add_argument("--data", type=pathlib.Path, default=QUESTIONS, help="question file")
    parser.add_argument("--questions", type=int, default=20, help="number of questions (default: 20)")
    parser.add_argument("--max-tokens", type=int, default=64, help="limit of tokens per answer (default: 64)")
    parser.add_argument("--clients", type=int, help="afterwards compare the throughput with so many answers at once")
    parser.add_argument("--api-key-env", default="VLLM_API_KEY", help="variable with vLLM's key (default: %(default)s)")
    args = parser.parse_args()
    if bool(args.prm) != bool(args.prm_tokenizer):
        parser.error("--prm and --prm-tokenizer belong together")
    if not 0 < args.delta < 2:
        parser.error("--delta must be between 0 and 2, which are the thresholds of the other two kinds of answers")
    return args


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

    def score(self, question, steps):
        """The score of the last of these steps, where this engine serves a reward model."""
        parts = [step.strip() + PRM_SEPARATOR for step in steps if step.strip()]
        prompt = PRM_PROMPT.format(SYSTEM, question.strip(), "".join(parts))
        ids = self.post("/tokenize", prompt=prompt, add_special_tokens=False)["tokens"]
        return self.post("/pooling", input=ids)["data"][0]["data"][-1][1]

    def likeliest(self, ids):
        """The likeliest next tokens with their log-probabilities."""
        reply = self.post("/v1/completions", prompt=ids, max_tokens=1, temperature=0, logprobs=4)
        top = reply["choices"][0]["logprobs"]["top_logprobs"][0]
        return ", ".join(f"{token!r} {value:.3f}" for token, value in top.items())


@contextlib.contextmanager
def serving(program, deployment, settings):
    """The base URL of a server with this file of config and these settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "serve", "--rsd", str(ROOT / "config" / deployment), "--port", str(port)]
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


def wrong_scores(prm, question, steps):
    """The scores of a trace that are not the reward model's."""
    texts, wrong = [], []
    for step in steps:
        if "reward" in step:
            drafted = step["text"] if step["source"] == "draft" else step["rejected"]["text"]
            expected = prm.score(question, [*texts, drafted])
            if abs(expected - step["reward"]) > 1e-3:
                found = f"step {step['index']} has the score {step['reward']:.4f}"
                wrong.append(f"{found}, the reward model's is {expected:.4f}")
        texts.append(step["text"])
    return wrong


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
    if "prm" in engines:
        wrong += wrong_scores(engines["prm"], question, steps)
    wrong += [f"step {step['index']} is a fallback: {step['fallback']}" for step in steps if step.get("fallback")]
    return trace, wrong


def throughput(ask_one, clients):
    """Tokens per second of as many answers at once as there are clients."""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        tokens = sum(pool.map(ask_one, range(clients)))
    return tokens / (time.monotonic() - began)


def compare_throughput(engines, url, questions, deltas, max_tokens, clients):
    """Prints tokens per second of each engine alone and of RSD, in two rounds, the first of which warms up."""
    prompts = [engines["target"].prompt(messages(question)) for question in questions]

    def alone(engine):
        return lambda n: len(engine.continued(prompts[n % len(prompts)], max_tokens))

    def rsd(delta):
        return lambda n: ask(url, questions[n % len(questions)], delta, max_tokens)[1]

    found = {}
    for _ in range(2):
        found |= {f"the {role} alone": throughput(alone(engines[role]), clients) for role in ("draft", "target")}
        found |= {f"RSD, delta {delta}": throughput(rsd(delta), clients) for delta in deltas}
    print(f"| {clients} answers at once | tokens/s |\n|---|---|")
    for name, speed in found.items():
        print(f"| {name} | {speed:.0f} |")
    print()


def remote(role, engine, tokenizer, key_env):
    """The settings of a role on an engine, whose key is in the variable `key_env`."""
    return {
        f"{role}.remote.urls": [engine.url],
        f"{role}.remote.model": engine.model,
        f"{role}.remote.api_key_env": key_env,
        f"{role}.remote.timeouts.reply_ms": 3_600_000,
        f"{role}.tokenizer": str(tokenizer.resolve()),
    }


def digest_scorer():
    """The URL of a scorer that gives digests."""
    scorer.reward = digest_score
    server = scorer.ThreadingHTTPServer(("127.0.0.1", 0), scorer.Scorer)
    server.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/score"


def main():
    """Asks every question at every threshold and prints the table."""
    args = arguments()
    key = os.environ.setdefault(args.api_key_env, "none")
    engines = {"draft": Engine(args.draft, key), "target": Engine(args.target, key)}
    if args.prm:
        engines["prm"] = Engine(args.prm, key)
        deployment = "remote-rewards.yaml"
        settings = remote("reward.model", engines["prm"], args.prm_tokenizer, args.api_key_env)
    else:
        deployment, settings = "remote-vllm.yaml", {"reward.url": digest_scorer()}
    for role in ("draft", "target"):
        settings |= remote(f"roles.{role}", engines[role], args.tokenizer, args.api_key_env)
    if args.step_tokens:
        settings |= {"steps.unit": "tokens", "steps.tokens": args.step_tokens}
    if args.clients:
        limits = ("limits.running", "roles.draft.remote.max_concurrency", "roles.target.remote.max_concurrency")
        settings |= dict.fromkeys(limits, args.clients)
    lines = args.data.read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["question"] for line in lines if line.strip()][: args.questions]
    # The target alone, the draft alone, and both.
    rows = {delta: [0, 0, 0, 0] for delta in (2, 0, args.delta)}
    with serving(args.bin, deployment, settings) as url:
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
        if args.clients:
            compare_throughput(engines, url, questions, list(rows), args.max_tokens, args.clients)
    print("| delta | answers as the engines give them | steps of the draft | steps of the target | tokens |")
    print("|---|---|---|---|---|")
    for delta, (right, draft, target, tokens) in rows.items():
        print(f"| {delta} | {right} of {len(questions)} | {draft} | {target} | {tokens} |")
    return any(row[0] < len(questions) for row in rows.values())


if __name__ == "__main__":
    sys.exit(main())
