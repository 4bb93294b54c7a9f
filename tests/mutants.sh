#!/bin/sh
# Alters one place of the code at a time and runs unit tests, of which one must fail. A part of the code at a time:
#   tests/mutants.sh [object|walk|relocate|registry]...      all of them by default
# Ends with 1 if something altered passes all tests and .cargo/mutants.toml does not say why. What was found is below
# target/mutants. Needs cargo-mutants: cargo install --locked cargo-mutants@27.1.0
set -eu
cd "$(dirname "$0")/.."
status=0

# A part, its package and file, and the unit tests that decide.
alter() {
    part=$1 package=$2 file=$3
    shift 3
    echo "== $part: $file"
    mkdir -p target/mutants
    cargo mutants --package "$package" --file "$file" --output "target/mutants/$part" --no-shuffle --timeout 120 \
        --colors never -- -- "$@" || status=1
}

[ $# -gt 0 ] || set -- object walk relocate registry
for name in "$@"; do
    case $name in
    object) alter object olean-reader reader/src/format/object.rs format:: walk:: ;;
    walk) alter walk olean-reader reader/src/walk.rs walk:: ;;
    relocate) alter relocate lean-region src/relocate/objects.rs relocate:: ;;
    registry) alter registry lean-region 'src/region/registry/*.rs' region::registry:: ;;
    *)
        echo "mutants: there is no part '$name'" >&2
        exit 2
        ;;
    esac
done
exit $status
