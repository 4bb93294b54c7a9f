#!/bin/sh
# Lays out all files of an installation below one folder, each at the path that it will have:
#   stage.sh STAGE BUILD OLEAN STRIP VERSION SONAME PREFIX LIBDIR INCLUDEDIR BINDIR DATADIR
# The Makefile calls it.
set -eu
stage=$1 build=$2 olean=$3 strip=$4 version=$5 soname=$6
prefix=$7
shift 7
libdir=$1 includedir=$2 bindir=$3 datadir=$4
real=liblean_region.so.$version

mkdir -p "$stage$libdir/pkgconfig" "$stage$includedir" "$stage$bindir" "$stage$datadir/man/man1" \
    "$stage$datadir/bash-completion/completions" "$stage$datadir/zsh/site-functions" \
    "$stage$datadir/fish/vendor_completions.d" "$stage$datadir/doc/lean-region"

# Symbols for the static linker stay, debug information goes.
"$strip" --strip-unneeded -o "$stage$libdir/$real" "$build/liblean_region.so"
chmod 644 "$stage$libdir/$real"
ln -s "$real" "$stage$libdir/$soname"
ln -s "$soname" "$stage$libdir/liblean_region.so"
"$strip" --strip-debug -o "$stage$libdir/liblean_region.a" "$build/liblean_region.a"
chmod 644 "$stage$libdir/liblean_region.a"
"$strip" -o "$stage$bindir/olean" "$olean"
chmod 755 "$stage$bindir/olean"
install -m 644 include/lean_region.h "$stage$includedir/lean_region.h"
sed -e "s|@PREFIX@|$prefix|" -e "s|@LIBDIR@|$libdir|" -e "s|@INCLUDEDIR@|$includedir|" -e "s|@VERSION@|$version|" \
    packaging/lean_region.pc.in > "$stage$libdir/pkgconfig/lean_region.pc"

"$olean" man "$stage$datadir/man/man1" >/dev/null
"$olean" completions bash > "$stage$datadir/bash-completion/completions/olean"
"$olean" completions zsh > "$stage$datadir/zsh/site-functions/_olean"
"$olean" completions fish > "$stage$datadir/fish/vendor_completions.d/olean.fish"

doc=$stage$datadir/doc/lean-region
install -m 644 README.md CHANGELOG.md LICENSE "$doc/"
sh packaging/licences.sh "$doc/THIRD-PARTY"
