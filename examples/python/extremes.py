"""Checks a running server at both extremes of the threshold: at delta 0 RSD's greedy answer must equal the draft's, at
delta 2 the target's. Needs only Python.

    python extremes.py [QUESTIONS [LIMIT [MAX_TOKENS [BASE_URL]]]]

The defaults are examples/questions.jsonl, 20, 48 and http://127.0.0.1:1234/v1.
"""

import json
import sys
import urllib.request

path, limit, max_tokens, base = (sys.argv[1:] + ["examples/questions.jsonl", "20", "48", "http://127.0.0.1:1234/v1"][len(sys.argv) - 1 :])[:4]
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


def ask(model, question, **more):
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": int(max_tokens), **more}
    request = urllib.request.Request(f"{base}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


unequal = 0
questions = [json.loads(line)["question"] for line in open(path, encoding="utf-8") if line.strip()][: int(limit)]
for number, question in enumerate(questions, 1):
    for model, delta in (("draft", 0), ("target", 2)):
        alone, rsd = ask(model, question), ask("rsd", question, rsd={"delta": delta})
        if alone != rsd:
            unequal += 1
            print(f"question {number}: the answer at delta {delta} differs from the {model}'s\n  {alone!r}\n  {rsd!r}")
    print(f"{number} of {len(questions)}", flush=True)
print(f"{unequal} answers differ")
sys.exit(unequal > 0)
