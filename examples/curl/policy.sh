#!/bin/sh
# Predicts what a threshold would do and, with --apply, sets it: policy.sh 0.3 [--apply]
# Needs curl and jq, and a server on this machine.
set -eu
(set -o pipefail) 2>/dev/null && set -o pipefail
delta=${1:?usage: policy.sh DELTA [--apply]}
file=$(ls -t "${XDG_RUNTIME_DIR:-$HOME/.local/state}"/mistralrs-rsd/admin-*.json | head -n 1)
url=$(jq -r .admin "$file")/admin/v1/policy

# The token goes through standard input, because arguments are visible to everybody on the machine.
call() {
    jq -r '"header = \"Authorization: Bearer \(.write_token)\""' "$file" | curl --silent --show-error --config - "$@"
}

tag=$(call --head --request GET "$url" | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
query='?dry_run=true'
[ "${2:-}" = --apply ] && query=
call --fail-with-body --request PATCH "$url$query" --header "If-Match: $tag" --header 'Content-Type: application/json' \
    --data "{\"set\": {\"policy\": {\"delta\": $delta}}}" | jq .
