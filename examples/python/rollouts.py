"""Lets the draft solve problems with llama.cpp, many at once, and writes the folder that `mistralrs-rsd prm train` reads.

    pip install llama-cpp-python numpy safetensors
    python rollouts.py --data problems.jsonl --out rollouts
    mistralrs-rsd prm train --data rollouts --out head.safetensors

`mistralrs-rsd prm collect` makes the same folder with the engine that serves, one solution after the other. Here every
worker decodes `--slots` solutions in one batch on a thread of its own, and the hidden states, log-probabilities and
entropies come from the same forward passes. The states are those after the final norm, as in serving. Another engine
rounds differently, so compare a few solutions before you rely on it:

    mistralrs-rsd prm collect --rsd my.yaml --data problems.jsonl --rollouts rollouts/rollouts.jsonl --out engine
    python rollouts.py --out rollouts --compare engine

A problem is a line with `question`, `answer` (a number, or a text that ends in one) and `id`. A solution is right if its
last \\boxed{} number, or else its last number, is the answer. A stopped run is continued by the same command.

A line of MBPP is a problem, too. Nothing here runs its solutions, so they have no grade until `prm grade` runs them in
its sandbox:

    python rollouts.py --data mbpp.jsonl --system "" --delimiter "\\n" --out code
    mistralrs-rsd prm grade --data mbpp.jsonl --rollouts code --allow-execution
"""

import argparse
import ctypes
import fcntl
import hashlib
import json
import multiprocessing
import pathlib
import re
import time

import llama_cpp as llama
import numpy as np
import safetensors.numpy

CACHE = pathlib.Path.home() / ".cache/mistralrs-rsd"
# SHA-256 of the demo's draft as it was published: a head is for one draft.
DEMO_DRAFT = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
STATISTICS = ["mean_logprob", "min_logprob", "mean_entropy", "max_entropy", "last_entropy", "tokens"]
DELIMITER = b"\n\n"
END_OF_TURN = ("<|im_end|>", "<|endoftext|>")
MAX_STEP_TOKENS = 256
BATCH = 512


def arguments():
    """Parses the command line."""
    file = CACHE / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, action="append", default=[], help="problems; may be repeated")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the solutions")
    parser.add_argument("--model", type=pathlib.Path, default=file, help=f"GGUF file of a ChatML draft (default: {file})")
    parser.add_argument("--draft", default=DEMO_DRAFT, help="SHA-256 of the draft as published (default: the demo's)")
    parser.add_argument("--samples", type=int, default=1, help="solutions per problem (default: 1)")
    parser.add_argument("--temperature", type=float, default=0.7, help="0 is greedy (default: 0.7)")
    parser.add_argument("--top-k", type=int, default=40, help="sample from the k most likely tokens (default: 40)")
    parser.add_argument("--top-p", type=float, default=0.95, help="smallest set with this probability (default: 0.95)")
    parser.add_argument("--max-tokens", type=int, default=480, help="limit on the tokens of a solution (default: 480)")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first problems")
    parser.add_argument("--limit", type=int, help="use at most this many problems")
    parser.add_argument("--system", default=SYSTEM, help="system message")
    parser.add_argument("--delimiter", type=unescaped, default=DELIMITER, help="ends a step (default: \\n\\n)")
    parser.add_argument("--slots", type=int, default=32, help="solutions that a worker decodes at once (default: 32)")
    parser.add_argument("--compare", type=pathlib.Path, help="only compare --out with a folder of the same solutions")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (default: 2)")
    options = parser.parse_args()
    if not (options.data or options.compare):
        parser.error("name problems with --data, or a folder with --compare")
    return options


def unescaped(text):
    """The bytes of a text in which \\n is a line break."""
    return text.replace("\\n", "\n").encode()


def number_of(text):
    """The last number of a text, or nothing."""
    found = re.findall(r"-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)", text.replace("\\!", ""))
    return float(found[-1].replace(",", "")) if found else None


def final_answer(text):
    """The number in the last box, or else the last number."""
    boxes = re.findall(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}", text)
    boxed = number_of(boxes[-1]) if boxes else None
    return number_of(text) if boxed is None else boxed


def json_lines(path):
    """The objects of a file's lines. Not splitlines(), which also splits within texts."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def read_problems(options):
    """The problems of all files, in order."""
    problems = []
    for path in options.data:
        for row in json_lines(path):
            if "test_list" in row:
                problems.append({"id": str(row["task_id"]), "question": code_question(row), "answer": None})
                continue
            answer = row["answer"]
            answer = number_of(answer.split("####")[-1]) if isinstance(answer, str) else float(answer)
            if answer is None:
                raise SystemExit(f"{path}: the answer of {row['id']} has no number")
            problems.append({"id": str(row["id"]), "question": row["question"], "answer": answer})
    end = None if options.limit is None else options.skip + options.limit
    return problems[options.skip : end]


def code_question(row):
    """The question of a line of MBPP, in the words of `mistralrs-rsd eval`."""
    tests = "\n".join(row["test_list"])
    return (
        f"{row['text'].strip()}\nYour code should pass these tests:\n\n```python\n{tests}\n```\n\n"
        "Answer with the complete function in one ```python block."
    )


class Model:
    """A model with a cache of its own for each solution in flight, and one more for the beginning of every prompt."""

    def __init__(self, options):
        llama.llama_log_set(SILENT, None)
        llama.llama_backend_init()
        self.options = options
        self.model = llama.llama_model_load_from_file(str(options.model).encode(), llama.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"{options.model}: llama.cpp cannot load it; name the draft's GGUF file with --model")
        self.vocab = llama.llama_model_get_vocab(self.model)
        self.tokens, self.width = llama.llama_vocab_n_tokens(self.vocab), llama.llama_model_n_embd(self.model)
        params = llama.llama_context_default_params()
        # A prompt may have 256 tokens.
        self.room = options.max_tokens + 256
        params.n_ctx, params.n_seq_max = (options.slots + 1) * self.room, options.slots + 1
        params.n_batch = params.n_ubatch = BATCH
        params.n_threads = params.n_threads_batch = 1
        params.embeddings, params.kv_unified = False, False
        params.pooling_type = llama.LLAMA_POOLING_TYPE_NONE
        self.context = llama.llama_init_from_model(self.model, params)
        self.memory = llama.llama_get_memory(self.context)
        self.batch = llama.llama_batch_init(BATCH, 0, 1)
        self.pieces = {}
        self.end = {self.encode(text, True)[0] for text in END_OF_TURN}
        system = f"<|im_start|>system\n{options.system}<|im_end|>\n" if options.system else ""
        self.beginning = self.encode(f"{system}<|im_start|>user\n", True)
        self.decode([(token, at, options.slots) for at, token in enumerate(self.beginning)], False)

    def encode(self, text, special):
        """The tokens of a text."""
        data = text.encode()
        found = (llama.llama_token * (len(data) + 8))()
        count = llama.llama_tokenize(self.vocab, data, len(data), found, len(found), False, special)
        return list(found[:count])

    def piece(self, token):
        """The bytes of a token."""
        if token not in self.pieces:
            buffer = ctypes.create_string_buffer(256)
            length = llama.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, True)
            self.pieces[token] = buffer.raw[:length]
        return self.pieces[token]

    def decode(self, inputs, results):
        """Runs (token, position, sequence) through the model; with results, logits and states can be read after it."""
        llama.llama_set_embeddings(self.context, results)
        for first in range(0, len(inputs), BATCH):
            part = inputs[first : first + BATCH]
            for index, (token, position, sequence) in enumerate(part):
                self.batch.token[index], self.batch.pos[index] = token, position
                self.batch.n_seq_id[index], self.batch.seq_id[index][0] = 1, sequence
                self.batch.logits[index] = results
            self.batch.n_tokens = len(part)
            code = llama.llama_decode(self.context, self.batch)
            if code != 0:
                raise SystemExit(f"llama.cpp could not decode a batch of {len(part)} tokens: code {code}")

    def start(self, question, slot):
        """Prefills a prompt but for its last token, which it returns with its position."""
        llama.llama_memory_seq_rm(self.memory, slot, -1, -1)
        llama.llama_memory_seq_cp(self.memory, self.options.slots, slot, -1, -1)
        rest = self.encode(question, False) + self.encode("<|im_end|>\n<|im_start|>assistant\n", True)
        start = len(self.beginning)
        if start + len(rest) > self.room - self.options.max_tokens:
            return None
        self.decode([(token, start + at, slot) for at, token in enumerate(rest[:-1])], False)
        return rest[-1], start + len(rest) - 1

    def results(self, index):
        """Logits and state of the token at an index of the last batch."""
        logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(self.context, index), (self.tokens,))
        return logits, np.ctypeslib.as_array(llama.llama_get_embeddings_ith(self.context, index), (self.width,)).copy()


@llama.llama_log_callback
def SILENT(_level, _text, _data):
    """Drops llama.cpp's log."""


class Solution:
    """A solution in the making, with what each of its tokens was sampled from."""

    def __init__(self, problem, sample, token, position, delimiter):
        self.delimiter = delimiter
        self.problem, self.sample, self.token, self.position = problem, sample, token, position
        seed = hashlib.sha256(f"{problem['id']}/{sample}".encode()).digest()[:8]
        self.random = np.random.default_rng(int.from_bytes(seed, "big"))
        self.tokens, self.states, self.logprobs, self.entropies = [], [], [], []
        self.text, self.step, self.cuts, self.ended = b"", b"", [0], False
        # Bytes of the text before each token, and of all of it.
        self.lengths = [0]

    def sample_token(self, logits, state, options):
        """Samples a token and notes its log-probability, the entropy and the state."""
        top = logits.max()
        weights = np.exp(logits - top)
        normalizer = top + np.log(weights.sum())
        self.states.append(state)
        self.entropies.append(float(normalizer - weights @ logits / weights.sum()))
        if options.temperature <= 0:
            token = int(logits.argmax())
        else:
            # What is less likely by e^-25 is never drawn.
            likely = np.flatnonzero(logits > top - 25 * options.temperature)
            likely = likely[np.argsort(-logits[likely], kind="stable")][: options.top_k]
            chances = np.exp((logits[likely] - top) / options.temperature)
            chances /= chances.sum()
            chances = chances[: int(np.searchsorted(np.cumsum(chances), options.top_p)) + 1]
            drawn = np.searchsorted(np.cumsum(chances / chances.sum()), self.random.random())
            token = int(likely[min(drawn, len(chances) - 1)])
        self.logprobs.append(float(logits[token] - normalizer))
        return token

    def add(self, token, piece):
        """Appends a token; a delimiter after some text ends the step."""
        new = len(self.step)
        self.tokens.append(token)
        self.text += piece
        self.lengths.append(len(self.text))
        self.step += piece
        self.token, self.position = token, self.position + 1
        at = self.step.find(self.delimiter, max(0, new - len(self.delimiter) + 1))
        while at >= 0 and not self.step[:at].strip():
            at = self.step.find(self.delimiter, at + 1)
        if at >= 0 or len(self.tokens) - self.cuts[-1] >= MAX_STEP_TOKENS:
            self.cuts.append(len(self.tokens))
            self.step = b""

    def record(self):
        """The line of `rollouts.jsonl`, and the features of the steps."""
        # An end token belongs to the last step, or is a step of its own after a boundary.
        sampled = len(self.states)
        cuts = self.cuts + ([sampled] if sampled > self.cuts[-1] else [])
        ranges = list(zip(cuts, cuts[1:]))
        states, logprobs, entropies = np.array(self.states), np.array(self.logprobs), np.array(self.entropies)
        text = self.text.decode(errors="replace")
        ends = [self.lengths[min(end, len(self.tokens))] for _, end in ranges]
        answer, right = None if self.problem["answer"] is None else final_answer(text), self.problem["answer"]
        line = {
            "problem": self.problem["id"],
            "sample": self.sample,
            "tokens": self.tokens,
            "text": text,
            "steps": [min(end, len(self.tokens)) - begin for begin, end in ranges],
            "ends": [len(self.text[:end].decode(errors="replace").encode()) for end in ends],
            "end": "end_of_text" if self.ended else "length",
            "answer": answer,
            "correct": None if right is None else answer is not None and abs(answer - right) <= 1e-6 * max(1, abs(right)),
        }
        statistics = [
            [
                logprobs[begin:end].mean(),
                logprobs[begin:end].min(),
                entropies[begin:end].mean(),
                entropies[begin:end].max(),
                entropies[end - 1],
                end - begin,
            ]
            for begin, end in ranges
        ]
        features = {
            "last": np.array([states[end - 1] for _, end in ranges], np.float32),
            "mean": np.array([states[begin:end].mean(0) for begin, end in ranges], np.float32),
            "statistics": np.array(statistics, np.float32),
        }
        return line, features


class Folder:
    """The folder of the solutions, which all workers write to."""

    def __init__(self, path):
        self.path = path

    def open(self, options, width):
        """Writes `collection.json`, or checks that it is of the same settings."""
        names = ("system", "temperature", "top_k", "top_p", "max_tokens")
        collection = {
            "format": 1,
            "draft": options.draft,
            "model": options.model.name,
            "hidden_size": width,
            "statistics": STATISTICS,
            "settings": {"engine": "llama.cpp"} | {name: getattr(options, name) for name in names},
        }
        if options.delimiter != DELIMITER:
            collection["settings"]["delimiter"] = options.delimiter.decode()
        (self.path / "features").mkdir(parents=True, exist_ok=True)
        path = self.path / "collection.json"
        if path.exists() and json.loads(path.read_text()) != collection:
            raise SystemExit(f"{path} is of other settings: name another folder with --out, or the same settings")
        path.write_text(json.dumps(collection, indent=2) + "\n")

    def done(self):
        """The solutions that the folder has. The last line of a killed run may be cut short and is dropped."""
        path = self.path / "rollouts.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        if lines and not lines[-1].endswith(b"\n"):
            path.write_bytes(b"".join(lines[:-1]))
            lines.pop()
        return {(row["problem"], row["sample"]) for row in map(json.loads, lines)}

    def add(self, line, features):
        """Writes the features, then the line that makes the solution count."""
        safetensors.numpy.save_file(features, self.features_path(line))
        with open(self.path / "rollouts.jsonl", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(line) + "\n")

    def features_path(self, line):
        """The file with the features of a solution."""
        name = line["problem"]
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:64]
        if plain != name:
            plain += "-" + hashlib.sha256(name.encode()).hexdigest()[:16]
        return self.path / "features" / f"{plain}-{line['sample']}.safetensors"

    def compare(self, other):
        """Prints in how much the states of the same solutions differ in another folder."""
        there = {(row["problem"], row["sample"]): row for row in other.lines()}
        same, differences, cosines = 0, [], []
        here = {(row["problem"], row["sample"]): row for row in self.lines()}
        pairs = [(here[key], there[key]) for key in sorted(here.keys() & there.keys())]
        for ours, theirs in pairs:
            if any(ours[key] != theirs[key] for key in ("tokens", "steps", "end")):
                continue
            same += 1
            for name in ("last", "mean"):
                one, two = (
                    safetensors.numpy.load_file(folder.features_path(row))[name]
                    for folder, row in ((self, ours), (other, theirs))
                )
                norms = np.linalg.norm(two, axis=1)
                differences.extend(np.linalg.norm(one - two, axis=1) / norms)
                cosines.extend((one * two).sum(1) / norms / np.linalg.norm(one, axis=1))
        print(f"{same} of {len(pairs)} solutions have the same tokens, steps and end")
        if same:
            print(
                f"their states differ by {100 * np.median(differences):.1f} % in norm (median, at most "
                f"{100 * max(differences):.1f} %); cosine {np.median(cosines):.4f} (at least {min(cosines):.4f})"
            )

    def lines(self):
        """The solutions of the folder."""
        return json_lines(self.path / "rollouts.jsonl")


def state_width(model):
    """The length of a hidden state by the file, because llama.cpp does not say it of a model without tensors."""

    def entry(name):
        found = ctypes.create_string_buffer(256)
        llama.llama_model_meta_val_str(model, name.encode(), found, len(found))
        return found.value.decode()

    if entry("rsd.state_length"):
        raise SystemExit("this file is the padded copy for CPUs: its states fit no head; use the published file")
    return int(entry(entry("general.architecture") + ".embedding_length"))


def work(worker, tasks, options):
    """Decodes the solutions of one worker, as many at once as there are slots."""
    model, folder = Model(options), Folder(options.out)
    waiting, running = iter(tasks), {}
    made = decoded = right = 0
    began = reported = time.monotonic()
    while True:
        for slot in set(range(options.slots)) - running.keys():
            for problem, sample in waiting:
                start = model.start(problem["question"], slot)
                if start:
                    running[slot] = Solution(problem, sample, *start, options.delimiter)
                    break
                print(f"{problem['id']}: left out, its prompt is too long", flush=True)
        if not running:
            break
        slots = sorted(running)
        model.decode([(running[slot].token, running[slot].position, slot) for slot in slots], True)
        decoded += len(slots)
        for index, slot in enumerate(slots):
            solution = running[slot]
            token = solution.sample_token(*model.results(index), options)
            solution.ended = token in model.end
            if not solution.ended:
                solution.add(token, model.piece(token))
            if solution.ended or len(solution.tokens) >= options.max_tokens:
                line, features = running.pop(slot).record()
                folder.add(line, features)
                made, right = made + 1, right + bool(line["correct"])
        if time.monotonic() > reported + 60:
            reported = time.monotonic()
            speed = decoded / (reported - began)
            print(f"worker {worker}: {made} of {len(tasks)}, {right} right, {speed:.0f} tokens/s", flush=True)
    print(f"worker {worker}: {made} solutions, {right} right", flush=True)


def main():
    """Deals the solutions that are missing to the workers."""
    options = arguments()
    folder = Folder(options.out)
    if options.compare:
        return folder.compare(Folder(options.compare))
    done = folder.done()
    problems = read_problems(options)
    tasks = [(problem, sample) for sample in range(options.samples) for problem in problems]
    tasks = [task for task in tasks if (task[0]["id"], task[1]) not in done]
    print(f"{len(tasks)} solutions to decode, {len(done)} are in {options.out}", flush=True)
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = True
    llama.llama_log_set(SILENT, None)
    model = llama.llama_model_load_from_file(str(options.model).encode(), parameters)
    if not model:
        raise SystemExit(f"{options.model}: llama.cpp cannot load it; name the draft's GGUF file with --model")
    folder.open(options, state_width(model))
    llama.llama_model_free(model)
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=work, args=(worker, tasks[worker :: options.workers], options))
        for worker in range(options.workers)
    ]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    if any(process.exitcode for process in workers):
        raise SystemExit("a worker failed; the same command continues")


if __name__ == "__main__":
    main()
