"""Uses a running mistralrs-rsd server through the OpenAI client.

    pip install openai
    python client.py [BASE_URL]     default: http://127.0.0.1:1234/v1
"""

import sys

from openai import OpenAI

client = OpenAI(base_url=sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:1234/v1", api_key="none")
question = "A baker sells 3 dozen rolls at $0.50 each. How much does she earn?"
messages = [
    {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
    {"role": "user", "content": question},
]

print("models:", [model.id for model in client.models.list()])

# A step is streamed as a whole, once it has been accepted or replaced by the target's.
stream = client.chat.completions.create(
    model="rsd", messages=messages, temperature=0, max_tokens=500, stream=True, stream_options={"include_usage": True}
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    elif chunk.usage:
        print("\n", chunk.usage)

# The trace says which model generated each step, and the reward of the draft's step.
answer = client.chat.completions.create(
    model="rsd", messages=messages, temperature=0, max_tokens=500, extra_body={"rsd": {"trace": True}}
)
for step in answer.model_extra["rsd"]["choices"][0]["steps"]:
    print(step["source"], step.get("reward"), repr(step["text"]))
