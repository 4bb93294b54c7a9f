#!/bin/sh
# Builds the fuzz targets with the stable toolchain and runs each:
#   fuzz/run.sh [RUNS] [TARGET...]            for a fixed number of inputs; each target has its own if none is given
#   fuzz/run.sh --minutes M [TARGET...]       for so long, going on from what earlier runs found (fuzz/corpus)
# All targets if none is named. Layout and flags are those of `cargo fuzz build --sanitizer none`, which works here too.
set -eu
cd "$(dirname "$0")"
runs= seconds=
if [ "${1:-}" = --minutes ]; then
    seconds=$((60 * ${2:?a number of minutes}))
    shift 2
elif [ -n "${1:-}" ] && [ -z "$(printf %s "$1" | tr -d 0-9)" ]; then
    runs=$1
    shift
fi
if [ $# -eq 0 ]; then
    for target in fuzz_targets/*.rs; do
        set -- "$@" "$(basename "$target" .rs)"
    done
fi

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"

cargo run --quiet --manifest-path ../Cargo.toml -p testkit --example fuzz_seeds -- corpus
RUSTFLAGS="--cfg fuzzing -Cdebug-assertions $coverage" \
    cargo build --release $(printf -- '--bin %s ' "$@") --target "$host" --target-dir target
for target in "$@"; do
    mkdir -p "artifacts/$target"
    case $target in
    # These take files of some kilobytes apart, in several ways.
    dependencies) default=20000 ;;
    relocation) default=10000 ;;
    *) default=50000 ;;
    esac
    if [ -n "$seconds" ]; then
        limit="-max_total_time=$seconds"
        echo "== $target: $seconds seconds"
    else
        limit="-runs=${runs:-$default} -seed=1"
        echo "== $target: ${runs:-$default} inputs"
    fi
    "target/$host/release/$target" $limit -max_len=8192 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="artifacts/$target/" "corpus/$target"
done
