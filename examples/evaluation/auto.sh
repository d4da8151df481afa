#!/usr/bin/env bash
# Runs or resumes the comparison of the shipped demo with its target in BENCHMARKS.md:
#
#   examples/evaluation/auto.sh SET DATA [OPTION...]
#
# SET: easy (the questions beside this script), gsm8k, svamp, math500, humaneval or mbpp. DATA: the folder, from the
# repository's root, of gsm8k/dev.jsonl, svamp/dev.jsonl and so on. Further options go to `mistralrs-rsd eval`, such as
# --budget 30m. METHODS (target,rsd-auto) names the methods, LIMIT the number of questions, BIN the program. Answers and
# report go to target/results/auto/SET (OUT names another folder). Answered questions are not asked again.
#
# Times are compared, so nothing else should run on the machine. The programs of humaneval and mbpp run in the sandbox.
set -euo pipefail

case "${1:-}" in '' | -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
name=$1 data=${2:?which folder holds the questions? See --help}
shift 2
cd "$(dirname "$0")/../.."
bin=${BIN:-target/release/mistralrs-rsd} out=${OUT:-target/results/auto/$name}

file=$data/$name/dev.jsonl tokens=400 options=()
case $name in
easy) file=examples/evaluation/easy.jsonl limit=${LIMIT:-114} ;;
gsm8k | svamp) limit=${LIMIT:-100} ;;
math500) limit=${LIMIT:-40} tokens=512 ;;
# Code has no blank line between most of its steps, and a system message that asks for a boxed answer spoils it.
humaneval | mbpp) limit=${LIMIT:-60} options=(--system '' --set 'steps.delimiters=["\n"]' --allow-execution) ;;
*) echo "no set $name: easy, gsm8k, svamp, math500, humaneval or mbpp" >&2; exit 2 ;;
esac

"$bin" eval --data "$file" --out "$out" --limit "$limit" --max-tokens "$tokens" \
    --methods "${METHODS:-target,rsd-auto}" "${options[@]}" "$@"
