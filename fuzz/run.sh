#!/bin/sh
# Builds the fuzz targets with the stable toolchain and runs each for a fixed number of inputs:
#   fuzz/run.sh [RUNS] [TARGET...]      50000 inputs each and all targets by default
# Layout and flags are those of `cargo fuzz build --sanitizer none`, which works here too.
set -eu
cd "$(dirname "$0")"
runs=${1:-50000}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- header v2 v3 dependencies image

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"

cargo run --quiet --manifest-path ../Cargo.toml -p testkit --example fuzz_seeds -- corpus
RUSTFLAGS="--cfg fuzzing -Cdebug-assertions $coverage" \
    cargo build --release --bins --target "$host" --target-dir target
for target in "$@"; do
    mkdir -p "artifacts/$target"
    echo "== $target: $runs inputs"
    "target/$host/release/$target" -runs="$runs" -seed=1 -max_len=8192 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="artifacts/$target/" "corpus/$target"
done
