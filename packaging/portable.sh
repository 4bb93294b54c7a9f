#!/bin/sh
# A release build that runs wherever Lean's own releases do, on glibc 2.17 and later:
#   portable.sh                 library and archive in target/TRIPLE/release
# An ordinary build needs the C library of the machine that builds it. This one links against the symbols of an old
# one, with the linker of zig, which comes from the Python package registry, pinned by hash, into target/zig. The tool is not built: it runs beside
# Lean, not inside, and the Rust library of today does not link for a glibc that old.
set -eu
cd "$(dirname "$0")/.."
glibc=2.17
host=$(rustc -vV | sed -n 's/^host: //p')
venv=${CARGO_TARGET_DIR:-target}/zig
if [ ! -x "$venv/bin/cargo-zigbuild" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps -r packaging/requirements.txt
fi
PATH=$(cd "$venv/bin" && pwd):$PATH
cargo zigbuild --release --locked -p lean-region --target "$host.$glibc"
built=${CARGO_TARGET_DIR:-target}/$host/release
highest=$(objdump -T "$built/liblean_region.so" | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1)
echo "$built: needs glibc $highest"
[ "$(printf '%s\n' "$highest" "$glibc" | sort -V | tail -n 1)" = "$glibc" ] || {
    echo "more than $glibc: something of a newer C library is linked" >&2
    exit 1
}
