"""Copies the licence files of the crates that the library and the tool are linked with.

Reads `cargo metadata` on standard input; the argument is the folder to write to. A crate without a licence
file gets one that names its licence as its manifest does.
"""

import json
import pathlib
import shutil
import sys

NAMES = ("licen", "copying", "notice", "unlicense", "copyright")


def linked(metadata):
    """Ids of all crates reachable from our own by normal dependencies, our own left out."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    # Procedural macros run in the compiler: neither they nor what they use is linked in.
    macro = lambda i: any("proc-macro" in target["kind"] for target in packages[i]["targets"])
    roots = [i for i in metadata["workspace_members"] if packages[i]["name"] in ("lean-region", "olean")]
    seen, todo = set(roots), list(roots)
    while todo:
        for dependency in nodes[todo.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in seen and not macro(dependency["pkg"]):
                seen.add(dependency["pkg"])
                todo.append(dependency["pkg"])
    return [packages[i] for i in sorted(seen - set(metadata["workspace_members"]))]


def main():
    out = pathlib.Path(sys.argv[1])
    for package in linked(json.load(sys.stdin)):
        target = out / f"{package['name']}-{package['version']}"
        target.mkdir(parents=True, exist_ok=True)
        home = pathlib.Path(package["manifest_path"]).parent
        files = [f for f in home.iterdir() if f.is_file() and f.name.lower().startswith(NAMES)]
        for file in files:
            shutil.copyfile(file, target / file.name)
        if not files:
            (target / "LICENCE").write_text(f"{package['name']} {package['version']}: {package['license']}\n")


main()
