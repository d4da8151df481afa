#!/usr/bin/env bash
# Asks a running server one question and prints the answer with the trace of its steps. The answer is not streamed: with
# the demo pair on two CPU cores it takes up to half a minute.
#
#   examples/curl/chat.sh [URL]     default: http://127.0.0.1:1234
curl -s "${1:-http://127.0.0.1:1234}/v1/chat/completions" \
    -H 'Content-Type: application/json' \
    -d '{
          "model": "rsd",
          "messages": [
            {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
            {"role": "user", "content": "What is 17 * 23 + 5?"}
          ],
          "temperature": 0,
          "max_tokens": 500,
          "rsd": {"trace": true}
        }'
