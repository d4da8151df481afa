"""Compares the speed of the demo pair in llama.cpp and in mistral.rs on this machine, in tokens per second.

    pip install llama-cpp-python
    python engines.py --rounds 5

In each round `mistralrs-rsd bench --parts ratios` measures the costs of decode and prefill (one round after a warm-up),
then llama.cpp prefills one prompt and decodes greedily with the same files. That of the draft is its copy for CPUs, which
`mistralrs-rsd models pull --requantize` writes. Nothing else should run on the machine meanwhile. The table has the
medians of the rounds, with the lowest and the highest in parentheses.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import llama_cpp

CACHE = pathlib.Path.home() / ".cache/mistralrs-rsd"
PHASES = ("decode", "prefill")
QUESTION = (
    "A farmer sells 14 crates of 24 apples and 9 crates of 36 pears. Each crate brings him 12 dollars, of which he spends a "
    "third on diesel and a quarter on wages. How much fruit does he sell, and how much money is left at the end of the day?"
)


def arguments():
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="mistralrs-rsd", help="the program (default: mistralrs-rsd)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default: 5)")
    parser.add_argument("--max-tokens", type=int, default=64, help="tokens to decode (default: 64)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine (default: 2)")
    for role, name in (("draft", "0.5b-instruct-q4_k_m.padded"), ("target", "1.5b-instruct-q4_k_m")):
        file = CACHE / f"qwen2.5-coder-{name}.gguf"
        parser.add_argument(f"--{role}", type=pathlib.Path, default=file, help=f"GGUF file of the {role} (default: {file})")
    return parser.parse_args()


def in_llama_cpp(model, tokens):
    """Tokens per second of decode and prefill in llama.cpp."""
    prompt = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    prompt = model.tokenize(prompt.encode(), add_bos=False, special=True)
    model.reset()
    began = time.perf_counter()
    model.eval(prompt)
    prefilled = time.perf_counter()
    for _ in range(tokens):
        model.eval([model.sample(temp=0)])
    decoded = time.perf_counter()
    return {"decode": tokens / (decoded - prefilled), "prefill": len(prompt) / (prefilled - began)}


def in_mistral_rs(binary, tokens, threads):
    """Tokens per second of decode and prefill of both roles, from the costs that `bench` measures."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "bench.json")
        command = [binary, "bench", "--parts", "ratios", "--rounds", "1", "--max-tokens", str(tokens), "--json", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"RAYON_NUM_THREADS": str(threads)})
        costs = json.loads(out.read_text(encoding="utf-8"))["ratios"]["unit_costs"]
    return {role: {phase: 1 / costs[f"{role}_{phase}"] for phase in PHASES} for role in ("draft", "target")}


def main():
    """Measures both engines alternately and prints the table."""
    args = arguments()
    speeds = {}
    models = {
        role: llama_cpp.Llama(str(getattr(args, role)), n_ctx=1024, n_threads=args.threads, n_threads_batch=args.threads,
                              logits_all=False, verbose=False)
        for role in ("draft", "target")
    }
    for number in range(args.rounds):
        here = in_mistral_rs(args.bin, args.max_tokens, args.threads)
        for role, model in models.items():
            there = in_llama_cpp(model, args.max_tokens)
            for phase in PHASES:
                speeds.setdefault((role, phase, "llama.cpp"), []).append(there[phase])
                speeds.setdefault((role, phase, "mistral.rs"), []).append(here[role][phase])
        print(f"round {number + 1} of {args.rounds}", flush=True)

    def shown(values, digits=1):
        return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    print("\n| tokens/s | llama.cpp | mistral.rs | mistral.rs over llama.cpp |\n|---|---|---|---|")
    for role in models:
        for phase in PHASES:
            there, here = (speeds[role, phase, engine] for engine in ("llama.cpp", "mistral.rs"))
            ratio = [ours / theirs for ours, theirs in zip(here, there)]
            print(f"| {role} {phase} | {shown(there)} | {shown(here)} | {shown(ratio, 2)} |")


if __name__ == "__main__":
    main()
