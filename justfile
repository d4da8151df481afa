# Habits of this repository; `just --list` shows them.

# What CI runs.
check:
    .ci/run

# The tests of every crate that does not compile the engine: minutes, no model.
fast:
    cargo fast

# All tests, with models at full speed.
test:
    cargo test --release --workspace

# Lints. The first run compiles the engine once more, in check mode.
lint:
    cargo clippy --release --workspace --all-targets -- -D warnings

# Licenses, advisories and sources of the dependencies.
deny:
    cargo deny check

# Spelling, American.
typos:
    typos

# The book, in target/book.
book:
    mdbook build docs --dest-dir "$PWD/target/book"

# Writes every generated file again: documents, drawings, schemas, snapshots. Look at the difference.
bless:
    RSD_BLESS=1 INSTA_UPDATE=always cargo fast
    RSD_BLESS=1 INSTA_UPDATE=always cargo test --release -p mistralrs-rsd

# Fetch the demo models and answer one question.
demo:
    cargo run --release --bin mistralrs-rsd -- run "What is 17 * 23 + 5?"

# Install both programs for this machine.
install:
    cargo install --locked --path plugin/mistralrs-rsd
    cargo install --locked --path console

# Install both programs for any x86-64 machine since 2013 (AVX2), to be passed on.
install-portable:
    RUSTFLAGS="-C target-cpu=x86-64-v3" cargo install --locked --path plugin/mistralrs-rsd
    RUSTFLAGS="-C target-cpu=x86-64-v3" cargo install --locked --path console
