"""Measures how close mistral.rs and llama.cpp come to exact arithmetic on the same quantized weights.

The reference is Hugging Face transformers in f32 on the dequantized weights of the GGUF file. A running server answers
questions with one of its models alone, greedily; then transformers and llama.cpp compute the same tokens. It reports for
each engine: how often another token is the likeliest than in the reference, what that costs, and by how much the
log-probability of the reference's likeliest token differs.

    python3 -m venv --system-site-packages env      # torch 1.13 or later, such as Debian's python3-torch with libopenblas0
    env/bin/pip install "transformers==4.44.2" "numpy<2" gguf "accelerate<1" llama-cpp-python
    mistralrs-rsd serve --rsd config/demo.yaml
    env/bin/python exactness.py --model target --gguf MODEL.gguf --data dev.jsonl --limit 20

The engines are compared along the tokens that the server (mistral.rs) has chosen.
"""

import argparse
import json
import pathlib
import urllib.request

import llama_cpp_answers as llama
import numpy
import torch
from transformers import AutoModelForCausalLM

# The most that the OpenAI API returns.
TOP = 20


def arguments():
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default="http://127.0.0.1:1234", help="the server (default: %(default)s)")
    parser.add_argument("--model", required=True, help="which of its models: draft or target")
    parser.add_argument("--gguf", required=True, type=pathlib.Path, help="the file that the server has loaded for it")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="question file, one JSON object per line")
    parser.add_argument("--limit", type=int, default=20, help="number of questions (default: 20)")
    parser.add_argument("--max-tokens", type=int, default=128, help="limit of tokens per answer (default: 128)")
    return parser.parse_args()


def ask(args, question):
    """The tokens of an answer as bytes, and at each position the log-probabilities of the likeliest tokens."""
    body = {
        "model": args.model,
        "messages": [{"role": "system", "content": llama.SYSTEM}, {"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": args.max_tokens,
        "logprobs": True,
        "top_logprobs": TOP,
    }
    request = urllib.request.Request(
        f"{args.endpoint}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as response:
        content = json.load(response)["choices"][0]["logprobs"]["content"]
    tokens = [bytes(entry["bytes"]) for entry in content]
    likeliest = [{bytes(top["bytes"]): top["logprob"] for top in entry["top_logprobs"]} for entry in content]
    return tokens, likeliest


def log_probabilities(logits):
    """Log-probabilities from logits, in double precision."""
    logits = logits.astype(numpy.float64)
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - numpy.log(numpy.exp(logits - top).sum(axis=-1, keepdims=True))


class Distance:
    """The differences between an engine and the reference."""

    def __init__(self):
        self.off, self.lost = [], []

    def add(self, reference, pick, log_probability):
        """Adds a position: the reference's log-probabilities, the engine's likeliest token, and the engine's log-probability of
        the reference's likeliest token."""
        self.lost.append(reference.max() - reference[pick])
        self.off.append(log_probability - reference.max())

    def line(self, name):
        """The engine's row of the table."""
        other = sum(lost > 0 for lost in self.lost)
        off = numpy.abs(self.off)
        return (
            f"| {name} | {other} of {len(self.lost)} ({100 * other / len(self.lost):.2f} %) | {sum(self.lost):.2f} | "
            f"{off.mean():.4f} | {numpy.quantile(off, 0.95):.4f} | {off.max():.3f} | {numpy.mean(self.off):+.4f} |"
        )


def main():
    """Asks the server, computes the same tokens with both engines, and prints the table."""
    args = arguments()
    torch.set_grad_enabled(False)
    reference = AutoModelForCausalLM.from_pretrained(
        args.gguf.parent, gguf_file=args.gguf.name, torch_dtype=torch.float32
    )
    engine = llama.Engine(argparse.Namespace(gguf=str(args.gguf), context=llama.BATCH, parallel=1, threads=2))
    # If two tokens have the same text, the first one counts. The end token has no text and is not compared.
    ids = {engine.vocabulary.detokenize([token]): token for token in reversed(range(engine.size))}
    here, there = Distance(), Distance()
    for _, question, _ in llama.questions(args.data, args.limit, finish=False):
        answer, likeliest = ask(args, question)
        tokens = [ids[token] for token in answer]
        prompt = engine.tokens(llama.prompt(question, ""))
        text = [*prompt, *tokens]
        exact = log_probabilities(reference(torch.tensor([text])).logits[0, len(prompt) - 1 : -1].numpy())
        engine.forget(0)
        rows = engine.logits([(0, position, [token]) for position, token in enumerate(text)])
        rows = log_probabilities(numpy.stack(rows[len(prompt) - 1 : -1]))
        for row, other, tops in zip(exact, rows, likeliest):
            best = int(row.argmax())
            there.add(row, int(other.argmax()), other[best])
            seen = {ids.get(token): value for token, value in tops.items()}
            # A token that the server does not list is at most as likely as the last one listed.
            here.add(row, max(seen, key=seen.get), seen.get(best, min(seen.values())))
    print("| | another token likeliest | nats lost by it | mean distance, nats | p95 | largest | bias |")
    print("|---|---|---|---|---|---|---|")
    print(here.line("mistral.rs"))
    print(there.line("llama.cpp"))


if __name__ == "__main__":
    main()
