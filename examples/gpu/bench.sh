#!/usr/bin/env bash
# Compares RSD with its target alone on a GPU, on models of real shapes with random weights. Speed does not depend on the
# weights, so only the demo's draft is downloaded (491 MB), for its vocabulary. The models are written once into the cache
# folder (RSD_CACHE): about 60 GB for the default pairs. A scripted reward accepts the given fractions of the steps.
#
#   examples/gpu/bench.sh [OUT]     results as text and JSON in OUT (default: gpu-bench)
#
# PAIRS, ACCEPTANCE, ROUNDS, TOKENS and TYPE change what is measured, FEATURES how it is built, BIN names a program that is
# built already. A pair whose results exist is skipped, so an interrupted run can be resumed.
set -euo pipefail

case "${1:-}" in -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
out=${1:-gpu-bench}
pairs=${PAIRS:-0.5B:7B 1.5B:7B 1.5B:14B 1.5B:32B}
acceptance=${ACCEPTANCE:-0.5,0.6,0.7,0.8,0.9,1}
type=${TYPE:-q8_0}
cd "$(dirname "$0")/../.."

bin=${BIN:-target/release/mistralrs-rsd}
if [ -z "${BIN:-}" ]; then
    command -v nvcc >/dev/null || { echo "no nvcc in PATH: install the CUDA toolkit, or name a built program with BIN" >&2; exit 1; }
    cargo build --release -p mistralrs-rsd --bins --features "${FEATURES:-cuda}"
fi
[ -x "$bin" ] || { echo "$bin cannot be run" >&2; exit 1; }

mkdir -p "$out"
failed=0
for pair in $pairs; do
    name="$out/${pair//:/-}-$type"
    if [ -e "$name.json" ]; then
        echo "$pair: measured, see $name.txt"
        continue
    fi
    echo "$pair, $type"
    # The other pairs are measured even if one does not fit the device.
    if "$bin" bench --random-weights "$pair" --random-type "$type" --parts acceptance,ratios --acceptance "$acceptance" \
        --rounds "${ROUNDS:-5}" --max-tokens "${TOKENS:-256}" --json "$name.part" | tee "$name.txt"; then
        mv "$name.part" "$name.json"
    else
        echo "$pair failed" >&2
        failed=1
    fi
done
exit $failed
