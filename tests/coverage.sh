#!/bin/sh
# Line coverage of the code that reads untrusted bytes, by the compiler's own instrumentation:
#   tests/coverage.sh [--lines]       the files and rooms below; with --lines every line that no test reaches
# Ends with 1 if a room has less than 95 % of its lines covered. Lines of test modules are not counted.
# Needs the compiler's llvm-profdata and llvm-cov: rustup component add llvm-tools
set -eu
cd "$(dirname "$0")/.."
limit=95

host=$(rustc -vV | sed -n 's/^host: //p')
tools=$(rustc --print sysroot)/lib/rustlib/$host/bin
if ! [ -x "$tools/llvm-cov" ]; then
    echo "coverage: there is no $tools/llvm-cov: rustup component add llvm-tools" >&2
    exit 2
fi
out=target/coverage
rm -rf "$out/profiles"
mkdir -p "$out/profiles"
export CARGO_TARGET_DIR="$out" CARGO_INCREMENTAL=0
export LLVM_PROFILE_FILE="$PWD/$out/profiles/%p-%m.profraw"

# Of the library the unit tests of the rooms that are looked at; of the reader everything but what takes long and
# reaches nothing else. A target of its own, so that build scripts are as they always are.
tested() {
    RUSTFLAGS='-Cinstrument-coverage' cargo test --quiet --locked --target "$host" "$@"
}
tested -p olean-reader --tests -- --skip deep_graphs_need_no_stack
tested -p lean-region --lib -- relocate:: dependencies::
find "$out/profiles" -name '*.profraw' >"$out/profiles.list"
"$tools/llvm-profdata" merge --sparse --input-files="$out/profiles.list" -o "$out/all.profdata"

# What the programs were made of that cargo names for these options.
covered() {
    lcov=$1 wanted=$2
    shift 2
    programs=$(tested "$@" --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep "$wanted" | sed 's/^/--object /')
    # shellcheck disable=SC2086 # a list of options
    "$tools/llvm-cov" export --format=lcov --instr-profile="$out/all.profdata" $programs >"$lcov"
}
covered "$out/whole.lcov" '/\(reader\|facts\|tools\|transform\)-[0-9a-f]*$' -p olean-reader --tests
covered "$out/units.lcov" '/olean_reader-[0-9a-f]*$' -p olean-reader --tests
covered "$out/library.lcov" '/lean_region-[0-9a-f]*$' -p lean-region --lib
cat "$out/library.lcov" >>"$out/units.lcov"

# The files of a room, one line each, and the room. A unit-test program has of a function that it never calls one region
# from the first line to the last, so where other programs were made of the same crate its unreached lines say nothing.
report() {
    room=$1
    shift
    find "$@" -name '*.rs' ! -name tests.rs | sort | while read -r file; do
        end=$(grep -n '^#\[cfg(test)\]' "$file" | cut -d: -f1 | head -n 1)
        awk -v name="$file" -v path="$PWD/$file" -v end="${end:-999999}" '
            /^SF:/ { here = substr($0, 4) == path }
            here && /^DA:/ {
                split(substr($0, 4), part, ",")
                line = part[1] + 0
                if (line >= end + 0) next
                if (FILENAME ~ /whole/) whole = 1
                else if (whole && !part[2]) next
                hits[line] += part[2]
            }
            END {
                for (line in hits) { all++; if (hits[line] > 0) hit++; else missed[line] = 1 }
                if (!all) exit
                print "F", name, hit + 0, all
                for (line = 1; line < 2000; line++) if (line in missed) print "M", name ":" line
            }' "$out/whole.lcov" "$out/units.lcov"
    done >"$out/room"
    awk '$1 == "F" { printf "%-42s %5d of %5d  %6.2f %%\n", $2, $3, $4, 100 * $3 / $4 }' "$out/room"
    [ "$lines" = 0 ] || sed -n 's/^M /    no test reaches /p' "$out/room"
    awk -v room="$room" -v limit="$limit" '
        $1 == "F" { hit += $3; all += $4 }
        END {
            printf "%-42s %5d of %5d  %6.2f %%\n\n", room, hit, all, all ? 100 * hit / all : 0
            exit !(all && 100 * hit >= limit * all)
        }' "$out/room" || failed="$failed $room"
}
lines=0
[ "${1:-}" != --lines ] || lines=1
failed=
report 'format: images' reader/src/format/image
report 'format' reader/src/format
report 'the reader, format included' reader/src
report 'relocate' src/relocate src/dependencies.rs
if [ -n "$failed" ]; then
    echo "coverage: less than $limit %:$failed" >&2
    exit 1
fi
