#!/usr/bin/env bash
# Runs or resumes the evaluation behind the figures of the demo pair in BENCHMARKS.md:
#
#   examples/evaluation/demo-pair.sh SET DATA [OPTION...]
#
# SET: gsm8k-train (the threshold is chosen there), gsm8k, svamp or math500. DATA: the folder, from the repository's root, of
# gsm8k/train.jsonl, gsm8k/dev.jsonl, svamp/dev.jsonl and math500/dev.jsonl. Further options go to `mistralrs-rsd eval`, such as
# --budget 90m, which applies to each of the three stages below. Answers and report go to target/results/SET (OUT
# names another folder; for the recorded answers run `docs/results/rebuild.sh FOLDER`, then set OUT=FOLDER/SET). Answered
# questions are not asked again, so a run can be stopped at any time. BIN names the program.
#
# Every method answers FEW questions of a set (10; none for gsm8k-train); speculative decoding and the two oracles answer
# SOME (30; none for gsm8k-train); target, draft and RSD at every threshold (DELTAS, 0.19,0.25,0.35,0.5) answer all
# of them. Two sets can run side by side, each with RAYON_NUM_THREADS=1.
set -euo pipefail

case "${1:-}" in '' | -h | --help) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
name=$1 data=${2:?which folder holds the questions? See --help}
shift 2
cd "$(dirname "$0")/../.."
bin=${BIN:-target/release/mistralrs-rsd} out=${OUT:-target/results/$name} few=${FEW:-10} some=${SOME:-30}

skip=0 tokens=400
case $name in
# The head was trained on problems before and after these.
gsm8k-train) file=gsm8k/train.jsonl skip=1000 limit=100 few=0 some=0 ;;
gsm8k) file=gsm8k/dev.jsonl limit=200 ;;
svamp) file=svamp/dev.jsonl limit=100 ;;
math500) file=math500/dev.jsonl limit=100 tokens=512 ;;
*) echo "no set $name: gsm8k-train, gsm8k, svamp or math500" >&2; exit 2 ;;
esac

run() {
    "$bin" eval --data "$data/$file" --out "$out" --skip "$skip" --max-tokens "$tokens" "$@"
}
# However the script ends, it writes the report over all answers, at the threshold chosen on the training set (DELTA).
all=target,draft,sd,best-of-n,majority,beam,oracle-answer,oracle-target
trap '[ ! -s "$out/answers.jsonl" ] || run --limit "$limit" --methods "$all" --samples-from draft,target --sweep "${DELTA:-0.5}" --report-only' EXIT
common=(--sweep "${DELTAS:-0.19,0.25,0.35,0.5}")
[ "$few" = 0 ] || run "${common[@]}" --limit "$few" --methods "$all" --samples-from draft,target "$@"
[ "$some" = 0 ] || run "${common[@]}" --limit "$some" --methods target,draft,sd,oracle-answer,oracle-target "$@"
run "${common[@]}" --limit "$limit" --methods target,draft "$@"
