# Habits of this repository; `just --list` shows them.

# What CI runs.
check:
    .ci/run

# All tests, with models at full speed.
test:
    cargo test --release --workspace

# Lints. Compiles the engine once more, in check mode.
lint:
    cargo clippy --release --workspace --all-targets

# Licences, advisories and sources of the dependencies.
deny:
    cargo deny check

# Fetch the demo models and answer one question.
demo:
    cargo run --release --bin mistralrs-rsd -- run "What is 17 * 23 + 5?"
