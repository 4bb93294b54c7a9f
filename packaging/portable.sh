#!/bin/sh
# A release build that runs wherever Lean's own releases do, on glibc 2.17 and later:
#   portable.sh                 library, archive and tool in target/TRIPLE/release
# An ordinary build needs the C library of the machine that builds it. This one links against the symbols of an old
# one, with the linker of zig, which comes from the Python package registry, pinned by hash, into target/zig.
set -eu
cd "$(dirname "$0")/.."
glibc=2.17
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-target}
venv=$target/zig
if [ ! -x "$venv/bin/cargo-zigbuild" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps \
        -r packaging/requirements.txt
fi
PATH=$(cd "$venv/bin" && pwd):$PATH
cargo zigbuild --release --locked -p lean-region --target "$host.$glibc"
# The Rust library of the tool asks for one function that an old glibc does not have.
shim=$(cd "$venv" && pwd)/old_glibc.o
python -m ziglang cc -target "${host%%-*}-linux-gnu.$glibc" -O2 -c packaging/old_glibc.c -o "$shim"
cargo-zigbuild rustc --release --locked -p olean --bin olean --target "$host.$glibc" -- -C "link-arg=$shim"
built=$target/$host/release
for file in liblean_region.so olean; do
    highest=$(objdump -T "$built/$file" | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1)
    [ -n "$highest" ] || {
        echo "$built/$file: its symbols cannot be read" >&2
        exit 1
    }
    echo "$built/$file: needs glibc $highest"
    [ "$(printf '%s\n' "$highest" "$glibc" | sort -V | tail -n 1)" = "$glibc" ] || {
        echo "more than $glibc: something of a newer C library is linked" >&2
        exit 1
    }
done
"$built/olean" --version
