#!/usr/bin/env bash
# Packs a release from programs that are built already: `examples/deploy/release.sh target/release dist`.
#
# The archive holds both programs, the console's manual page, completions, an example deployment, licenses, the list of
# dependencies as CycloneDX, and checksums. The same programs and sources give the same archive, byte for byte.
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 FOLDER_OF_PROGRAMS FOLDER_FOR_THE_ARCHIVE" >&2; exit 2; }
programs=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")/../.."

version=$("$programs/mistralrs-rsd" --version | cut -d ' ' -f 2)
name=mistralrs-rsd-$version-$(uname -m)-linux
# The time of every file in the archive: that of the commit, unless the caller sets one.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$work/$name
mkdir -p "$top"/{bin,share/man/man1,share/completions,share/licenses,examples}

install -m 0755 "$programs/mistralrs-rsd" "$programs/rsd-console" "$top/bin/"
"$programs/rsd-console" man > "$top/share/man/man1/rsd-console.1"
for shell in bash zsh fish; do
    for program in mistralrs-rsd rsd-console; do
        "$programs/$program" completions "$shell" > "$top/share/completions/$program.$shell"
    done
done
install -m 0644 README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE SECURITY.md "$top/"
install -m 0644 examples/deploy/deployment.yaml examples/deploy/mistralrs-rsd.service config/demo-head.safetensors "$top/examples/"
cargo metadata --format-version 1 --locked --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" |
    python3 examples/deploy/dependencies.py "$top/share/sbom.cdx.json" "$top/share/licenses"

(cd "$top" && find . -type f ! -name SHA256SUMS -print0 | LC_ALL=C sort -z | xargs -0 sha256sum > SHA256SUMS)
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go-w,a+r -C "$work" -cf - "$name" |
    gzip -n -9 > "$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
