"""Asks the independent checker about many files in one process.

judge.py TOOLS < request: a JSON object with `do` and, each with `path`, optional `deps` and `width`, `files`.
  do = "judge"   one line per file: ok, why not, and the hashes of its graph
  do = "mutate"  `count` damaged copies, drawn over all kinds and files: one line about each, followed by its
                 bytes; judged with the width detected (`auto`) and with that of the undamaged file (`forced`)
"""
import json
import sys

sys.path.insert(0, sys.argv[1])
import olean_check as oc  # noqa: E402


def read(path):
    with open(path, 'rb') as f:
        return f.read()


def verdict(data, width, deps, hashes=True):
    try:
        main = oc.Region(data, '', width)
        dep_regions = [oc.Region(d, 'dep', main.W * 8) for d in deps]
        oc.verify(main, dep_regions)
        answer = {'ok': True, 'why': ''}
        if hashes:
            g = oc.graph(main, dep_regions)
            answer.update(graphhash=g.struct_hash, sharehash=g.share_hash, distinct=g.distinct,
                          depth=g.depth, objects=g.objects)
        return answer
    except oc.OleanError as e:
        return {'ok': False, 'why': str(e)}


def answer(line, data=b''):
    line['bytes'] = len(data)
    sys.stdout.buffer.write(json.dumps(line).encode() + b'\n' + data)
    sys.stdout.buffer.flush()


def main():
    request = json.load(sys.stdin)
    files = request['files']
    for f in files:
        f['data'] = read(f['path'])
        f['dep_data'] = [read(d) for d in f.get('deps', [])]
    if request['do'] == 'judge':
        for f in files:
            answer(verdict(f['data'], f.get('width'), f['dep_data']) | {'path': f['path']})
        return
    for i in range(request['count']):
        kind = oc.MUTATIONS[i % len(oc.MUTATIONS)]
        # Every kind meets every file.
        n = (i // len(oc.MUTATIONS) + i) % len(files)
        f = files[n]
        data, what = oc.mutate(f['data'], kind, request.get('seed', 0) + i, f['width'])
        auto = verdict(data, None, f['dep_data'])
        forced = auto
        if not auto['ok'] or oc.detect_width(data) != f['width']:
            forced = verdict(data, f['width'], f['dep_data'])
        answer({'file': n, 'kind': kind, 'what': what, 'auto': auto, 'forced': forced}, data)


main()
