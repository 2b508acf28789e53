# `just` lists these; each is one command of the repository.
_default:
    @just --list --unsorted

# Build the program.
build:
    cargo build --locked

# Run the unit tests: no brokers, no root.
test *NAMES:
    cargo test --locked -- {{NAMES}}

# Run every test, with brokers; words choose tests by name.
test-all *NAMES:
    tests/run {{NAMES}}

# Format, and check with every lint.
lint:
    cargo fmt --all
    cargo clippy --locked --workspace --all-targets -- -D warnings
    cargo clippy --locked --package sesame --test acceptance -- -D warnings

# Run the demo.
demo:
    cargo run --release --locked -- demo

# Build the crates' documentation.
docs:
    RUSTDOCFLAGS=-Dwarnings cargo doc --locked --workspace --no-deps

# Measure what the program is to reach; needs root.
figures *PARTS:
    tests/figures {{PARTS}}

# Measure the build itself: from nothing, and after a change of one line.
build-times *PARTS:
    tests/build-times {{PARTS}}

# Build the stock plugins from their sources; `just plugins --check` compares.
plugins *ARGUMENTS:
    plugins/build {{ARGUMENTS}}

# Build the binary for a package.
dist:
    cargo build --profile dist --locked

# Everything that must hold before a change is taken.
ci:
    .ci/run
