"""Tokens per second of the demo pair in llama.cpp and in mistral.rs, in turn on this machine.

    pip install llama-cpp-python
    python engines.py --rounds 5

Each round asks `mistralrs-rsd bench --parts ratios` for its prices of a written and a read token (its own JSON, one round
after one that warms up), then has llama.cpp read one prompt and write on greedily with the files that the bench read.
Nothing else should run. Printed are medians with the lowest and the highest round.
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
QUESTION = (
    "A farmer sells 14 crates of 24 apples and 9 crates of 36 pears. Each crate brings him 12 dollars, of which he spends a "
    "third on diesel and a quarter on wages. How much fruit does he sell, and how much money is left at the end of the day?"
)


def arguments():
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="mistralrs-rsd", help="the program (default: mistralrs-rsd)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--max-tokens", type=int, default=64, help="tokens written (default: 64)")
    parser.add_argument("--threads", type=int, default=2, help="of both engines (default: 2)")
    for role, name in (("draft", "0.5b-instruct-q4_k_m.q8_0"), ("target", "1.5b-instruct-q4_k_m")):
        file = CACHE / f"qwen2.5-coder-{name}.gguf"
        parser.add_argument(f"--{role}", type=pathlib.Path, default=file, help=f"its GGUF file (default: {file})")
    return parser.parse_args()


def in_llama_cpp(model, tokens):
    """Tokens per second written and read."""
    prompt = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    prompt = model.tokenize(prompt.encode(), add_bos=False, special=True)
    model.reset()
    began = time.perf_counter()
    model.eval(prompt)
    read = time.perf_counter()
    for _ in range(tokens):
        model.eval([model.sample(temp=0)])
    written = time.perf_counter()
    return {"writes": tokens / (written - read), "reads": len(prompt) / (read - began)}


def in_mistral_rs(binary, tokens, threads):
    """The same of both roles, by the bench's prices."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "bench.json")
        command = [binary, "bench", "--parts", "ratios", "--rounds", "1", "--max-tokens", str(tokens), "--json", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"RAYON_NUM_THREADS": str(threads)})
        prices = json.loads(out.read_text(encoding="utf-8"))["ratios"]["units"]
    return {role: {way: 1 / prices[f"{role}_{way}"] for way in ("writes", "reads")} for role in ("draft", "target")}


def main():
    """Asks both in turn and prints the table."""
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
            for way in ("writes", "reads"):
                speeds.setdefault((role, way, "llama.cpp"), []).append(there[way])
                speeds.setdefault((role, way, "mistral.rs"), []).append(here[role][way])
        print(f"round {number + 1} of {args.rounds}", flush=True)

    def shown(values, digits=1):
        return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    print("\n| tokens/s | llama.cpp | mistral.rs | mistral.rs over llama.cpp |\n|---|---|---|---|")
    for role in models:
        for way in ("writes", "reads"):
            there, here = (speeds[role, way, engine] for engine in ("llama.cpp", "mistral.rs"))
            ratio = [ours / theirs for ours, theirs in zip(here, there)]
            print(f"| {role} {way} | {shown(there)} | {shown(here)} | {shown(ratio, 2)} |")


if __name__ == "__main__":
    main()
