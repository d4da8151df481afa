"""OpenAI's own Python client."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai

from checks import check

URL = os.environ["OPENAI_BASE_URL"]
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2+2?"}]
SHORT = {"max_tokens": 12, "temperature": 0}

client = openai.OpenAI(max_retries=0, timeout=300)


def ensure(condition, found):
    if not condition:
        raise AssertionError(f"found {found}")


def refused(kind, call, param):
    """The call fails with this class of error, which names the field."""
    try:
        call()
    except kind as error:
        ensure(error.param == param, error.body)
        return f"refused as {kind.__name__}, `param` is `{param}`"
    raise AssertionError("it was not refused")


@check("openai", "models.list")
def models_list():
    names = [model.id for model in client.models.list()]
    ensure({"rsd", "draft", "target"} <= set(names), names)


@check("openai", "models.retrieve")
def models_retrieve():
    for model in client.models.list():
        ensure(client.models.retrieve(model.id).id == model.id, model)
    try:
        client.models.retrieve("nosuch")
    except openai.NotFoundError as error:
        ensure(error.code == "model_not_found", error.body)
        return None
    raise AssertionError("`nosuch` was found")


@check("openai", "chat")
def chat():
    answer = client.chat.completions.create(model="rsd", messages=MESSAGES, **SHORT)
    ensure("4" in answer.choices[0].message.content, answer)
    ensure(answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens, answer.usage)


@check("openai", "chat, stream with usage")
def chat_stream():
    stream = client.chat.completions.create(
        model="rsd", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **SHORT
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    ensure("4" in text and chunks[-1].usage.completion_tokens > 0, chunks)


@check("openai", "chat, async client")
def chat_async():
    async def ask():
        async with openai.AsyncOpenAI(max_retries=0, timeout=300) as async_client:
            asked = [async_client.chat.completions.create(model="rsd", messages=MESSAGES, **SHORT) for _ in range(2)]
            return await asyncio.gather(*asked)

    ensure(all("4" in answer.choices[0].message.content for answer in asyncio.run(ask())), "another answer")


@check("openai", "chat, with_raw_response")
def chat_raw():
    raw = client.chat.completions.with_raw_response.create(model="rsd", messages=MESSAGES, **SHORT)
    ensure(raw.headers["content-type"] == "application/json" and raw.parse().choices, raw.headers)


@check("openai", "chat, content in parts, role `developer`")
def chat_parts():
    parts = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": " 2+2?"}]},
    ]
    answers = [client.chat.completions.create(model="rsd", messages=each, **SHORT) for each in (MESSAGES, parts)]
    ensure(answers[0].usage.prompt_tokens == answers[1].usage.prompt_tokens, answers)


@check("openai", "chat, `logprobs` of one model")
def chat_logprobs():
    answer = client.chat.completions.create(
        model="target", messages=MESSAGES, logprobs=True, top_logprobs=2, max_tokens=4, temperature=0
    )
    entries = answer.choices[0].logprobs.content
    ensure(entries and all(entry.top_logprobs[0].logprob == entry.logprob for entry in entries), entries)


@check("openai", "chat, seed")
def chat_seed():
    body = {"model": "rsd", "messages": MESSAGES, "max_tokens": 12, "seed": 3}
    body["extra_body"] = {"rsd": {"after_rejection": "draft"}}
    texts = {client.chat.completions.create(**body).choices[0].message.content for _ in range(2)}
    ensure(len(texts) == 1, texts)


@check("openai", "chat, the `rsd` field by `extra_body`")
def chat_trace():
    answer = client.chat.completions.create(model="rsd", messages=MESSAGES, extra_body={"rsd": {"trace": True}}, **SHORT)
    ensure(answer.model_extra["rsd"]["choices"][0]["steps"], answer)


@check("openai", "usage: cached and draft tokens")
def usage_details():
    first = client.chat.completions.create(model="rsd", messages=MESSAGES, **SHORT).choices[0].message
    # A conversation that goes on finds its beginning in the cache.
    more = [*MESSAGES, {"role": "assistant", "content": first.content}, {"role": "user", "content": "And 3 + 3?"}]
    usage = client.chat.completions.create(model="rsd", messages=more, **SHORT).usage
    ensure(usage.prompt_tokens_details.cached_tokens > 0, usage)
    details = usage.completion_tokens_details
    ensure(details.accepted_prediction_tokens + details.rejected_prediction_tokens >= 0, usage)


@check("openai", "a limit above the server's")
def high_limit():
    raw = client.chat.completions.with_raw_response.create(
        model="rsd", messages=MESSAGES, max_completion_tokens=1_000_000, temperature=0, stop=["4"]
    )
    ensure(int(raw.headers["x-rsd-max-tokens"]) > 0 and raw.parse().choices, raw.headers)


@check("openai", "completions")
def completions():
    answer = client.completions.create(model="rsd", prompt="1, 2, 3, 4,", **SHORT)
    ensure("5" in answer.choices[0].text, answer)


@check("openai", "completions, stream")
def completions_stream():
    stream = client.completions.create(model="rsd", prompt="1, 2, 3, 4,", stream=True, **SHORT)
    ensure("5" in "".join(chunk.choices[0].text for chunk in stream if chunk.choices), "another text")


@check("openai", "completions, a list of prompts")
def completions_list():
    answer = client.completions.create(model="rsd", prompt=["1, 2, 3,", "7, 8, 9,"], **SHORT)
    texts = {choice.index: choice.text for choice in answer.choices}
    ensure("4" in texts[0] and "10" in texts[1], texts)


@check("openai", "completions, token ids")
def completions_ids():
    # "2+2=" in the vocabulary of the demo's models.
    answer = client.completions.create(model="rsd", prompt=[17, 10, 17, 28], **SHORT)
    ensure(answer.choices[0].text.strip().startswith("4"), answer)


@check("openai", "completions, `logprobs` of one model")
def completions_logprobs():
    answer = client.completions.create(model="target", prompt="1, 2, 3,", logprobs=2, max_tokens=3, temperature=0)
    lists = answer.choices[0].logprobs
    ensure(len(lists.tokens) == len(lists.token_logprobs) == len(lists.top_logprobs) == 3, lists)
    ensure(lists.text_offset[0] == len("1, 2, 3,"), lists.text_offset)


@check("openai", "completions, `echo` of a scored prompt")
def completions_echo():
    answer = client.completions.create(model="target", prompt="1, 2, 3,", echo=True, logprobs=1, max_tokens=0)
    choice = answer.choices[0]
    ensure(choice.text == "".join(choice.logprobs.tokens) == "1, 2, 3,", choice)
    ensure(choice.logprobs.token_logprobs[0] is None and choice.logprobs.token_logprobs[-1] < 0, choice)


@check("openai", "tools")
def tools():
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    return refused(
        openai.BadRequestError,
        lambda: client.chat.completions.create(model="rsd", messages=MESSAGES, tools=[tool], **SHORT),
        "tools",
    )


@check("openai", "structured output")
def structured_output():
    return refused(
        openai.BadRequestError,
        lambda: client.chat.completions.create(
            model="rsd", messages=MESSAGES, response_format={"type": "json_object"}, **SHORT
        ),
        "response_format",
    )


@check("openai", "a prompt that is too long, stream")
def too_long():
    messages = [{"role": "user", "content": "word " * 12_000}]
    return refused(
        openai.BadRequestError,
        lambda: client.chat.completions.create(model="rsd", messages=messages, stream=True, **SHORT),
        "messages",
    )


@check("openai", "retries on 429")
def retries():
    busy = []
    hooks = {"response": [lambda response: busy.append(1) if response.status_code == 429 else None]}
    with httpx.Client(event_hooks=hooks, timeout=300) as http_client:
        patient = openai.OpenAI(max_retries=20, timeout=300, http_client=http_client)

        def ask(_):
            return patient.completions.create(model="draft", prompt="1, 2,", max_tokens=2, temperature=0).choices[0].text

        with ThreadPoolExecutor(30) as pool:
            texts = set(pool.map(ask, range(30)))
    ensure(len(texts) == 1, texts)
    return f"works: 30 answers at once, {len(busy)} retries" if busy else "30 answers at once, the queue was never full"
