#!/usr/bin/env bash
# Makes the reports in docs/results again from the recorded answers and compares them with those in the repository:
#
#   docs/results/rebuild.sh            compare, in a temporary folder
#   docs/results/rebuild.sh --update   replace report.md and the pictures in the repository
#   docs/results/rebuild.sh FOLDER     unpack into FOLDER and leave everything there, report.json included
#
# Needs cargo, tar, xz and sha256sum or shasum; no model, no network beyond what cargo needs, and not the engine.
set -euo pipefail

case "${1:-}" in -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
update=no folder=
case "${1:-}" in --update) update=yes ;; ?*) folder=$1 ;; esac

cd "$here"
sum=(sha256sum)
command -v sha256sum >/dev/null || sum=(shasum -a 256)
"${sum[@]}" --status -c answers.tar.xz.sha256 || { echo "answers.tar.xz does not have the SHA-256 in answers.tar.xz.sha256" >&2; exit 1; }
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
tar -xJf answers.tar.xz -C "$folder"

# The methods that the runs asked for, the configured threshold first.
methods=(
    rsd@0.5 target draft sd beam oracle-answer oracle-target
    "best-of-n (draft)" "best-of-n (target)" "majority (draft)" "majority (target)"
)
same=yes
for set in gsm8k-train gsm8k svamp math500; do
    cp "$here/$set/run.json" "$folder/$set/"
    (cd "$root" && cargo run --quiet -p rsd-evaluation --example report -- \
        "$folder/$set" "$folder/$set/questions.jsonl" "${methods[@]}")
    for file in "$folder/$set"/report.md "$folder/$set"/*.svg; do
        if [ "$update" = yes ]; then
            cp "$file" "$here/$set/"
        elif ! cmp -s "$file" "$here/$set/$(basename "$file")"; then
            echo "$set/$(basename "$file") differs"
            same=no
        fi
    done
done
[ "$same" = yes ] && echo "the reports are those of the recorded answers"
