#!/bin/sh
# Makes a Debian package of a stage whose prefix is /usr:
#   deb.sh STAGE VERSION OUTDIR
set -eu
stage=$1 version=$2 out=$3
arch=$(dpkg --print-architecture)
control=$stage/DEBIAN
mkdir -p "$control"
# What the library asks of the C library, by the highest symbol version in it.
glibc=$(objdump -T "$stage"/usr/lib/*/liblean_region.so."$version" "$stage/usr/bin/olean" |
    sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1)
cat > "$control/control" <<EOF
Package: lean-region
Version: $version
Architecture: $arch
Maintainer: The lean-region developers <lean-region@localhost>
Depends: libc6 (>= $glibc), libgcc-s1
Section: libs
Priority: optional
Description: loader of compacted regions, the module files of Lean 4
 A drop-in replacement for the part of Lean 4 that saves and reads .olean files
 and incremental snapshots, for unmodified Lean processes and for C programs,
 and olean, a tool that looks into such files.
EOF
echo "activate-noawait ldconfig" > "$control/triggers"
dpkg-deb --root-owner-group --build "$stage" "$out/lean-region_${version}_$arch.deb"
