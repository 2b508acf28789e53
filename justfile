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
    cargo clippy --locked --all-targets -- -D warnings
    cargo clippy --locked --test acceptance --test endurance -- -D warnings

# Run the demo.
demo:
    cargo run --release --locked -- demo

# Build the book and the crates' documentation.
docs:
    mdbook build docs
    RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps

# Write the generated reference pages of the book again.
reference:
    SESAME_BLESS=1 cargo test --locked --package sesame --test texts reference

# Fuzz every parser: seconds in all, then names of targets.
fuzz *ARGUMENTS:
    fuzz/run {{ARGUMENTS}}

# Strike faults and account for every message, in minutes; `just endurance --long` takes two hours. Needs root.
endurance *ARGUMENTS:
    tests/endurance/run {{ARGUMENTS}}

# Show that the tests find faults: build the program with faults, and run the test named for each. Needs root.
mutants *FAULTS:
    tests/endurance/mutants {{FAULTS}}

# Measure what the program is to reach; needs root.
figures *PARTS:
    tests/figures {{PARTS}}

# Measure the build itself: from nothing, and after a change of one line.
build-times *PARTS:
    tests/build-times {{PARTS}}

# Build the stock plugins from their sources; `just plugins --check` compares.
plugins *ARGUMENTS:
    plugins/build {{ARGUMENTS}}

# Build the program for packages, and make them in target/packages: .deb, .rpm, tarball, image, list of components.
dist:
    packaging/dist

# Check the packages of target/packages: install, upgrade, remove, run; needs root.
check-packages *PARTS:
    packaging/check {{PARTS}}

# Everything that must hold before a change is taken.
ci:
    .ci/run
