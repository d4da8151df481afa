#!/usr/bin/env bash
# Shows in which functions the demo pair spends its time:
#
#   examples/profiling/shares.sh [COMMAND...]
#
# Samples `mistralrs-rsd COMMAND` (default: one round of `bench --parts ratios`) with Linux `perf`, and prints the shares of
# self time by group, then the largest functions. Sampling begins after AFTER seconds (30, while the models are loaded).
# RAYON_NUM_THREADS is 1 unless set, so that only the engine's own thread computes. BIN names the program, SAMPLES a file
# in which the samples are preserved for `perf annotate`.
set -euo pipefail

case "${1:-}" in -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
command -v perf > /dev/null || { echo "perf is not installed (Debian: linux-perf)" >&2; exit 1; }
cd "$(dirname "$0")/../.."
bin=${BIN:-target/release/mistralrs-rsd}
[ $# -gt 0 ] || set -- bench --parts ratios --rounds 1 --max-tokens 64
samples=${SAMPLES:-}
[ -n "$samples" ] || { samples=$(mktemp); trap 'rm -f "$samples"' EXIT; }

export RAYON_NUM_THREADS=${RAYON_NUM_THREADS:-1}
perf record -q -F 499 -D "$((${AFTER:-30} * 1000))" -o "$samples" -- "$bin" "$@" > /dev/null

# Columns of a line: share, place ("[k]" is the kernel), name, two columns of dashes. Products appear as vec_dot of a
# quantized block or, where the compiler has inlined it, as a closure that rayon calls.
perf report -q -i "$samples" --no-children --sort symbol --stdio -w 0 2> /dev/null | awk '
    $1 !~ /%$/ { next }
    {
        share = $1 + 0; kernel = $2 == "[k]"; total += share
        $1 = $2 = ""; sub(/^ +/, ""); sub(/[ -]+$/, "")
        if (++row <= 12) largest[row] = sprintf("%5.1f %%  %s", share, $0)
        group = "the rest"
        if (kernel || /rayon|crossbeam|futex|sched_yield|syscall|condvar|Condvar|mutex/) group = "handing work to threads and waiting for it, the kernel"
        else if (/quantized.*(vec_dot|from_float)|call_mut/)                            group = "products of quantized rows, other loops in threads"
        else if (/attention|vec_dot_f32|flash_attn/)                                    group = "attention"
        else if (/mistralrs_rsd|rsd_(core|head|server|config)/)                         group = "mistralrs-rsd"
        else if (/memcpy|memset|memmove|malloc|cfree|_int_free|unlink_chunk/)           group = "memory"
        shares[group] += share
    }
    END {
        for (group in shares) printf "%5.1f %%  %s\n", 100 * shares[group] / total, group | "sort -rn"
        close("sort -rn")
        print "\nThe largest:"
        for (i = 1; i in largest; i++) print largest[i]
    }'
