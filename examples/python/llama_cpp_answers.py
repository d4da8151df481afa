"""Generates answers of the draft or the target alone with another engine, llama.cpp.

They check the accuracies that `mistralrs-rsd eval` reports for the methods `target` and `draft` independently: the GGUF
files and the prompt are the same, the code that runs them is not. Sampled, they are solutions for `mistralrs-rsd prm
collect --solutions`, several times as fast as the draft here generates them.

    pip install xllamacpp
    python llama_cpp_answers.py --gguf MODEL.gguf --model draft --data dev.jsonl --max-tokens 512 --out answers.jsonl

Every answer is appended to --out as one line, {"question", "model", "text", "finished", "tokens"}, and "seed" where
answers are sampled. Answers that exist already are skipped, so a run that was stopped can be resumed.

Several questions are answered side by side, which is several times as fast on a CPU. The last bits of the logits, and so
now and then a greedy token, depend on what else is in a batch.

With --finish-solutions the model only generates the end of the data's own `solution`, beginning with the sentence that
contains the box. Such answers say nothing about a model's accuracy, but they come fast and state right answers in many
ways, for testing graders.
"""

import argparse
import concurrent.futures
import json
import pathlib
import urllib.request
import zlib

import xllamacpp

SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."


def arguments():
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", required=True, help="file of the model")
    parser.add_argument("--model", required=True, help="its name in the answers")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="question file, one JSON object per line")
    parser.add_argument("--skip", type=int, default=0, help="begin after this many questions")
    parser.add_argument("--limit", type=int, help="only this many questions")
    parser.add_argument("--finish-solutions", action="store_true", help="generate only the end of the data's solutions")
    parser.add_argument("--max-tokens", type=int, default=512, help="an answer is cut off after these (default: 512)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default: 0)")
    parser.add_argument("--top-k", type=int, default=40, help="where answers are sampled (default: 40)")
    parser.add_argument("--top-p", type=float, default=0.95, help="where answers are sampled (default: 0.95)")
    parser.add_argument("--seed", type=int, default=1, help="where answers are sampled (default: 1)")
    parser.add_argument("--context", type=int, default=2048, help="tokens of prompt and answer (default: 2048)")
    parser.add_argument("--parallel", type=int, default=16, help="questions answered side by side (default: 16)")
    parser.add_argument("--threads", type=int, default=2, help="(default: 2)")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="file that the answers are appended to")
    return parser.parse_args()


def numbered(path):
    """Numbers and objects of a file's lines. Not splitlines(), which also splits within texts."""
    rows = enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
    return [(number, json.loads(line)) for number, line in rows if line.strip()]


def questions(args):
    """Yields id, text and given beginning of the answer of each question. Knows the field names of the common data sets."""
    rows = numbered(args.data)[args.skip :]
    for number, line in rows[: args.limit]:
        identity = next((line[name] for name in ("id", "unique_id") if name in line), number)
        begin = ""
        if args.finish_solutions:
            begin = line["solution"].rpartition("\\boxed")[0]
            ends = [begin.rfind(mark) + len(mark) for mark in (". ", "\n", ".$ ") if mark in begin]
            begin = begin[: max(ends, default=0)]
        yield str(identity), line.get("question") or line["problem"], begin


def prompt(question, begin):
    """The prompt in ChatML, the chat format of the Qwen2.5 models."""
    return (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{question}<|im_end|>\n"
        f"<|im_start|>assistant\n{begin}"
    )


def start(args):
    """Starts llama.cpp's server within this process, on a free port of this machine; returns it."""
    settings = xllamacpp.CommonParams()
    settings.model.path = args.gguf
    settings.n_ctx = args.context * args.parallel
    settings.n_parallel = args.parallel
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = args.threads
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    settings.verbosity = 0
    return xllamacpp.Server(settings)


def answer(server, args, identity, text):
    """One answer of the model, as a line of --out."""
    body = {
        "prompt": text,
        "n_predict": args.max_tokens,
        "temperature": args.temperature,
        "top_k": args.top_k,
        "top_p": args.top_p,
        "min_p": 0.0,
        "samplers": ["top_k", "top_p", "temperature"],
        # Each question has its own random numbers, whatever is answered beside it.
        "seed": zlib.crc32(f"{args.seed} {identity}".encode()),
        "cache_prompt": False,
    }
    request = urllib.request.Request(
        f"{server.listening_address}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        reply = json.load(response)
    line = {
        "question": identity,
        "model": args.model,
        "text": reply["content"],
        "finished": reply["stop_type"] == "eos",
        "tokens": reply["tokens_predicted"],
    }
    if args.temperature > 0:
        line["seed"] = args.seed
    return line


def main():
    """Answers every question that --out has no answer for."""
    args = arguments()
    seed = args.seed if args.temperature > 0 else None
    there = set()
    if args.out.exists():
        there = {(line["question"], line["model"], line.get("seed")) for _, line in numbered(args.out)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    server = start(args)
    waiting = [row for row in questions(args) if (row[0], args.model, seed) not in there]
    with concurrent.futures.ThreadPoolExecutor(args.parallel) as pool, args.out.open("a", encoding="utf-8") as out:
        pending = [pool.submit(answer, server, args, row[0], prompt(*row[1:])) for row in waiting]
        for done in concurrent.futures.as_completed(pending):
            out.write(json.dumps(done.result(), ensure_ascii=False) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
