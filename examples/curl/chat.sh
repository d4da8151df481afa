#!/usr/bin/env bash
# One question to a running server, with the trace of its steps.
curl -s "${1:-http://127.0.0.1:1234}/v1/chat/completions" \
    -H 'Content-Type: application/json' \
    -d '{
          "model": "rsd",
          "messages": [{"role": "user", "content": "What is 17 * 23 + 5? Reason step by step."}],
          "temperature": 0,
          "max_tokens": 200,
          "rsd": {"delta": 0.5, "trace": true}
        }'
