#!/bin/sh
# Puts the files of a stage into place, or removes them again:
#   place.sh install STAGE DESTDIR MANIFEST
#   place.sh uninstall DESTDIR MANIFEST
# Files are renamed into place: a process that has the old library mapped keeps it. MANIFEST, a path below DESTDIR,
# lists what is installed, so that an upgrade and a removal find also what an older version left.
set -eu

refresh_cache() {
    # The dynamic linker's cache matters only where the system's own root is meant, and only root may write it.
    if [ -z "$1" ] && [ "$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then ldconfig; fi
}

# Removes a folder and those above it while they are empty: our own ones always, others only in a root of its own.
prune() {
    dir=$1
    while [ -n "$dir" ]; do
        case $dir in
        */doc/lean-region | */doc/lean-region/*) ;;
        *) [ -n "$dest" ] || return 0 ;;
        esac
        rmdir "$dest$dir" 2>/dev/null || return 0
        dir=${dir%/*}
    done
}

remove() {
    while read -r path; do
        rm -f "$dest$path"
        prune "${path%/*}"
    done
}

case $1 in
install)
    stage=$2 dest=$3 manifest=$4
    list=$(mktemp)
    trap 'rm -f "$list"' EXIT
    (cd "$stage" && find . ! -type d) | sed 's|^\./|/|' | LC_ALL=C sort > "$list"
    echo "$manifest" >> "$list"
    put() {
        mkdir -p "$dest${2%/*}"
        new=$dest${2%/*}/.lean-region-new.$$
        rm -f "$new"
        cp -P -p "$1" "$new"
        mv -f -T "$new" "$dest$2"
    }
    while read -r path; do
        [ "$path" = "$manifest" ] || put "$stage$path" "$path"
    done < "$list"
    if [ -f "$dest$manifest" ]; then grep -vxF -f "$list" "$dest$manifest" | remove || :; fi
    chmod 644 "$list"
    put "$list" "$manifest"
    ;;
uninstall)
    dest=$2 manifest=$3
    [ -f "$dest$manifest" ] || { echo "nothing is installed: there is no $dest$manifest" >&2; exit 1; }
    list=$(mktemp)
    trap 'rm -f "$list"' EXIT
    cp "$dest$manifest" "$list"
    remove < "$list"
    ;;
*)
    echo "place.sh: install or uninstall, not '$1'" >&2
    exit 2
    ;;
esac
refresh_cache "$dest"
