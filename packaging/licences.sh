#!/bin/sh
# Writes the licences of all crates that are linked into the library and the tool, one folder a crate:
#   licences.sh DIR
# They are taken from the sources that cargo has fetched, so the build has to come first.
set -eu
dir=$1
mkdir -p "$dir"
cargo metadata --format-version 1 --locked --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" |
    python3 packaging/licences.py "$dir"
