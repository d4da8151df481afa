"""Generates answers of the draft or the target alone with another engine, llama.cpp.

They check the accuracies that `mistralrs-rsd eval` reports for the methods `target` and `draft` independently: the GGUF
files and the prompt are the same, the code that runs them is not. They also serve as real answers for testing graders.

    pip install llama-cpp-python
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
import ctypes
import json
import pathlib

import llama_cpp
import numpy

SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."
BATCH = 2048


def arguments():
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", required=True, help="file of the model")
    parser.add_argument("--model", required=True, help="its name in the answers")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="question file, one JSON object per line")
    parser.add_argument("--limit", type=int, help="only this many questions, from the first")
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


def questions(path, limit, finish):
    """Yields id, text and given beginning of the answer of each question. Knows the field names of the common data sets."""
    for number, line in numbered(path)[:limit]:
        identity = next((line[name] for name in ("id", "unique_id") if name in line), number)
        begin = ""
        if finish:
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


class Engine:
    """A model in llama.cpp that continues several texts at once."""

    def __init__(self, args):
        # llama-cpp-python's high-level class answers one prompt at a time; here it only knows the tokens.
        self.vocabulary = llama_cpp.Llama(args.gguf, vocab_only=True, verbose=False)
        self.model = llama_cpp.llama_model_load_from_file(args.gguf.encode(), llama_cpp.llama_model_default_params())
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = args.context * args.parallel
        settings.n_seq_max = args.parallel
        settings.n_batch = BATCH
        settings.n_threads = settings.n_threads_batch = args.threads
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        self.batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self.size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.ends = {self.tokens(mark)[0] for mark in ("<|im_end|>", "<|endoftext|>")}

    def tokens(self, text):
        """Tokens of a text, special ones included."""
        return self.vocabulary.tokenize(text.encode(), add_bos=False, special=True)

    def text(self, tokens):
        """The text that tokens stand for."""
        return self.vocabulary.detokenize(tokens).decode(errors="replace")

    def forget(self, slot):
        """Frees a slot of the cache for another text."""
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(self.context), slot, -1, -1)

    def logits(self, parts):
        """Logits after each (slot, position, new tokens)."""
        at = 0
        last = []
        for slot, position, tokens in parts:
            for offset, token in enumerate(tokens):
                self.batch.token[at] = token
                self.batch.pos[at] = position + offset
                self.batch.n_seq_id[at] = 1
                self.batch.seq_id[at][0] = slot
                self.batch.logits[at] = offset == len(tokens) - 1
                at += 1
            last.append(at - 1)
        self.batch.n_tokens = at
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise RuntimeError("llama.cpp could not decode a batch")
        rows = (llama_cpp.llama_get_logits_ith(self.context, row) for row in last)
        return [numpy.ctypeslib.as_array(row, shape=(self.size,)) for row in rows]


class Sampler:
    """Picks tokens: the likeliest, or at random among the top k and top p."""

    def __init__(self, args, identity):
        self.args = args
        self.random = numpy.random.default_rng([args.seed, *identity.encode()])

    def pick(self, logits):
        """The next token for these logits."""
        if self.args.temperature <= 0:
            return int(logits.argmax())
        top = numpy.argpartition(logits, -self.args.top_k)[-self.args.top_k :]
        top = top[numpy.argsort(-logits[top])]
        scaled = logits[top].astype(numpy.float64)
        scaled = (scaled - scaled[0]) / self.args.temperature
        likely = numpy.exp(scaled) / numpy.exp(scaled).sum()
        count = int(numpy.searchsorted(numpy.cumsum(likely), self.args.top_p)) + 1
        likely = likely[:count] / likely[:count].sum()
        return int(self.random.choice(top[:count], p=likely))


def answer_all(engine, waiting, args):
    """Yields (question id, text, whether it is finished, number of tokens), in the order in which answers are completed."""
    slots = {}
    while waiting or slots:
        parts = []
        room = BATCH - len(slots)
        for slot in range(args.parallel):
            if slot in slots:
                state = slots[slot]
                parts.append((slot, state["position"], state["answer"][-1:]))
            elif waiting and (len(waiting[0][1]) <= room or not parts):
                identity, tokens = waiting.pop(0)
                room -= len(tokens)
                slots[slot] = {"id": identity, "position": 0, "answer": [], "sampler": Sampler(args, identity)}
                parts.append((slot, 0, tokens))
        for (slot, _, tokens), logits in zip(parts, engine.logits(parts)):
            state = slots[slot]
            state["position"] += len(tokens)
            token = state["sampler"].pick(logits)
            finished = token in engine.ends
            if not finished:
                state["answer"].append(token)
            if finished or len(state["answer"]) >= args.max_tokens:
                yield state["id"], engine.text(state["answer"]), finished, len(state["answer"])
                engine.forget(slot)
                del slots[slot]


@llama_cpp.llama_log_callback
def silent(_level, _text, _data):
    """Discards the messages that llama.cpp prints while it loads."""


def main():
    """Answers every question that --out has no answer for."""
    args = arguments()
    seed = args.seed if args.temperature > 0 else None
    there = set()
    if args.out.exists():
        there = {(answer["question"], answer["model"], answer.get("seed")) for _, answer in numbered(args.out)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    engine = Engine(args)
    waiting = [
        (identity, engine.tokens(prompt(question, begin)))
        for identity, question, begin in questions(args.data, args.limit, args.finish_solutions)
        if (identity, args.model, seed) not in there
    ]
    for identity, text, finished, tokens in answer_all(engine, waiting, args):
        answer = {"question": identity, "model": args.model, "text": text, "finished": finished, "tokens": tokens}
        if seed is not None:
            answer["seed"] = seed
        with args.out.open("a", encoding="utf-8") as out:
            out.write(json.dumps(answer, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
