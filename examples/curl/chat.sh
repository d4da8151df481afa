#!/usr/bin/env bash
# One question to a running server, with the trace of its steps. The whole answer comes at once, on two CPU cores within
# half a minute.
curl -s "${1:-http://127.0.0.1:1234}/v1/chat/completions" \
    -H 'Content-Type: application/json' \
    -d '{
          "model": "rsd",
          "messages": [
            {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
            {"role": "user", "content": "What is 17 * 23 + 5?"}
          ],
          "temperature": 0,
          "max_tokens": 200,
          "rsd": {"trace": true}
        }'
