"""Libraries and programs that are built on the API."""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import check
from openai_checks import ensure

URL = os.environ["OPENAI_BASE_URL"]
COUNT = "1, 2, 3, 4,"
QUESTION = "What is 2+2? Answer with one number."


@check("langchain-openai", "ChatOpenAI: invoke, batch")
def langchain_chat():
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="rsd", max_tokens=12, temperature=0, max_retries=0)
    answer = model.invoke(QUESTION)
    ensure("4" in answer.content and answer.usage_metadata["input_tokens"] > 0, answer)
    ensure(all("4" in each.content for each in model.batch([QUESTION, QUESTION])), "another answer")


@check("langchain-openai", "ChatOpenAI: stream")
def langchain_chat_stream():
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="rsd", max_tokens=12, temperature=0, max_retries=0, stream_usage=True)
    chunks = list(model.stream(QUESTION))
    ensure("4" in "".join(chunk.content for chunk in chunks), chunks)
    ensure(any(chunk.usage_metadata for chunk in chunks), "no usage")


@check("langchain-openai", "OpenAI: generate with 20 prompts")
def langchain_text():
    from langchain_openai import OpenAI

    model = OpenAI(model="rsd", max_tokens=4, temperature=0, max_retries=0)
    result = model.generate([COUNT] * 20)
    ensure(len(result.generations) == 20 and all("5" in each[0].text for each in result.generations), result)


@check("langchain-openai", "OpenAI: stream")
def langchain_text_stream():
    from langchain_openai import OpenAI

    model = OpenAI(model="rsd", max_tokens=4, temperature=0, max_retries=0)
    ensure("5" in "".join(model.stream(COUNT)), "another text")


def open_ai_like(chat):
    from llama_index.llms.openai_like import OpenAILike

    return OpenAILike(
        model="rsd", api_base=URL, api_key="none", is_chat_model=chat, max_tokens=12, temperature=0, max_retries=0
    )


@check("llama-index-llms-openai-like", "chat, stream_chat")
def llama_index_chat():
    from llama_index.core.llms import ChatMessage

    messages = [ChatMessage(role="user", content=QUESTION)]
    ensure("4" in open_ai_like(True).chat(messages).message.content, "another answer")
    ensure("4" in "".join(chunk.delta for chunk in open_ai_like(True).stream_chat(messages)), "another answer")


@check("llama-index-llms-openai-like", "complete, stream_complete")
def llama_index_complete():
    ensure("5" in open_ai_like(False).complete(COUNT).text, "another text")
    ensure("5" in "".join(chunk.delta for chunk in open_ai_like(False).stream_complete(COUNT)), "another text")


@check("litellm", "completion, stream, acompletion")
def litellm_chat():
    import litellm

    body = {"model": "openai/rsd", "api_base": URL, "messages": [{"role": "user", "content": QUESTION}]}
    body |= {"max_tokens": 12, "temperature": 0, "num_retries": 0}
    ensure("4" in litellm.completion(**body).choices[0].message.content, "another answer")
    chunks = litellm.completion(stream=True, **body)
    ensure("4" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks), "another answer")
    ensure("4" in asyncio.run(litellm.acompletion(**body)).choices[0].message.content, "another answer")


@check("litellm", "text_completion")
def litellm_text():
    import litellm

    answer = litellm.text_completion(
        model="text-completion-openai/rsd", api_base=URL, prompt=COUNT, max_tokens=12, temperature=0
    )
    ensure("5" in answer.choices[0].text, answer)


@check("llm", "prompt, with and without a stream")
def llm_program():
    with tempfile.TemporaryDirectory() as folder:
        model = f"- model_id: local-rsd\n  model_name: rsd\n  api_base: {URL}\n  api_key_name: openai\n"
        Path(folder, "extra-openai-models.yaml").write_text(model)
        environment = os.environ | {"LLM_USER_PATH": folder}
        program = str(Path(sys.executable).with_name("llm"))
        for extra in ([], ["--no-stream"]):
            command = [program, "-m", "local-rsd", "-o", "max_tokens", "12", "-o", "temperature", "0", *extra, QUESTION]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
            ensure(done.returncode == 0 and "4" in done.stdout, done)
