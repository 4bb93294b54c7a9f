#!/bin/sh
# Alters one place of the code at a time and runs unit tests, of which one must fail:
#   tests/mutants.sh [object|walk|relocate|registry]...      a part of the code at a time, all of them by default
#   tests/mutants.sh diff [BASE]                             what a branch changes since BASE (main by default)
# Ends with 1 if something altered passes all tests and .cargo/mutants.toml does not say why. What was tried and how it
# ended is below target/mutants: the lists caught.txt, timeout.txt (a test did not end), missed.txt, unviable.txt (it
# does not compile). MINUTES=30 sets an end to each part, and to a branch, for which it is 30 if it is not given.
# Needs cargo-mutants: cargo install --locked cargo-mutants@27.1.0
set -eu
cd "$(dirname "$0")/.."
status=0

# A name for what is found, minutes, and arguments for cargo-mutants.
alter() {
    name=$1 minutes=$2
    shift 2
    out=target/mutants/$name
    rm -rf "$out"
    mkdir -p "$out"
    code=0
    RUST_BACKTRACE=0 timeout --foreground --signal INT "${minutes}m" \
        cargo mutants --output "$out" --colors never "$@" || code=$?
    lists=$out/mutants.out
    if [ ! -s "$lists/mutants.json" ]; then
        [ "$code" -ne 0 ] || echo "mutants: nothing to alter"
        [ "$code" -eq 0 ] || status=1
        return 0
    fi
    all=$(grep -c '"genre"' "$lists/mutants.json" || true)
    echo "== $name: of $all a test fails for $(count caught), does not end for $(count timeout)," \
        "none fails for $(count missed), $(count unviable) do not compile"
    case $code in
    # All of them are noticed, be it by a test that does not end.
    0 | 3) ;;
    124) echo "mutants: $minutes minutes are over; the others were not tried" ;;
    *) status=1 ;;
    esac
    [ "$(count missed)" -eq 0 ] || status=1
}

count() {
    wc -l <"$lists/$1.txt"
}

# A part, its package and file, and the unit tests that decide.
part() {
    part=$1 package=$2 file=$3
    shift 3
    echo "== $part: $file"
    alter "$part" "${MINUTES:-600}" --package "$package" --file "$file" -- -- "$@"
}

[ $# -gt 0 ] || set -- object walk relocate registry
if [ "$1" = diff ]; then
    base=${2:-main}
    mkdir -p target
    git diff --merge-base "$base" >target/mutants.diff
    echo "== what changes since $base"
    alter diff "${MINUTES:-30}" --in-diff target/mutants.diff
    exit $status
fi
# An altered loop may ask for memory without end. These tests need little; others reserve more addresses than that.
ulimit -v 12000000
for name in "$@"; do
    case $name in
    object) part object olean-reader reader/src/format/object.rs format:: walk:: ;;
    walk) part walk olean-reader reader/src/walk.rs walk:: ;;
    relocate) part relocate lean-region src/relocate/objects.rs relocate:: ;;
    registry) part registry lean-region 'src/region/registry/*.rs' region::registry:: ;;
    *)
        echo "mutants: there is no part '$name'" >&2
        exit 2
        ;;
    esac
done
exit $status
