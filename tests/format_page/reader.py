"""Another reader of region files, written from docs/format.md: it knows the layout only from the tables there.

Prints what it finds in a file as JSON: `reader.py FORMAT.md FILE WIDTH`, with the pointer width in bytes.
"""

import json
import re
import sys


def tables(page):
    """All tables of the page: for each its heading's text, and its rows as dictionaries."""
    found, heading, columns = [], "", None
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").strip()
        if not line.startswith("|"):
            columns = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if columns is None:
            columns = cells
            found.append((heading, []))
        elif not set(line) <= set("|-"):
            found[-1][1].append(dict(zip(columns, cells)))
    return found


class Format:
    """The tables of the page for one pointer width."""

    def __init__(self, page, width):
        self.width = width
        rows = lambda heading, column: next(t for h, t in tables(page) if h == heading and column in t[0])
        fields = lambda heading: {r["field"]: (self.number(r["offset"]), self.number(r["size"])) for r in rows(heading, "offset")}
        self.header = fields("Header")
        self.sections = {2: fields("Version 2"), 3: fields("Version 3")}
        self.object_header = fields("Objects")
        self.objects = rows("Objects", "tag")
        self.trailer = {r["field"]: r["size"] for r in rows("Version 3", "size") if "offset" not in r}
        for heading, table in tables(page):
            if heading == "Version 3" and "offset" not in table[0]:
                self.trailer = {r["field"]: r["size"] for r in table}
            if heading == "Extension section" and "field" in table[0]:
                self.extension = {r["field"]: r["size"] for r in table}
            if heading == "Record of dependencies" and "offset" not in table[0]:
                self.record = {r["field"]: r["size"] for r in table}
        self.dependency = fields("Record of dependencies")

    def number(self, text):
        """`80 + 2w` and the like; None for what is no number."""
        text = re.sub(r"(\d)w", r"\1*w", text)
        if not re.fullmatch(r"[\d+*\- w]+", text):
            return None
        return eval(text, {"w": self.width})

    def of_tag(self, tag, gmp):
        """The row of the table of objects for a tag."""
        for row in self.objects:
            first, _, last = row["tag"].partition(" to ")
            if int(first) <= tag <= int(last or first):
                if "bignum" not in row["object"] or row["object"].startswith("GMP") == gmp:
                    return row
        raise ValueError(f"tag {tag}")


class Reader:
    """One file, read by the tables."""

    def __init__(self, form, data):
        self.form, self.data, self.width = form, data, form.width

    def at(self, offset, size):
        if offset + size > len(self.data):
            raise ValueError("the file ends")
        return int.from_bytes(self.data[offset : offset + size], "little")

    def text(self, field):
        offset, size = self.form.header[field]
        return self.data[offset : offset + size].rstrip(b"\0").decode()

    def object(self, start, gmp):
        head = {name: self.at(start + o, n) for name, (o, n) in self.form.object_header.items()}
        row = self.form.of_tag(head["tag"], gmp)
        fixed = row[f"fixed, w = {self.width}"]
        if fixed == "-":
            size, count, first = head["cs_sz"], head["other"], 8
            pointers = count
        else:
            size, count, first = int(fixed), 0, int(fixed)
            where = row[f"count at, w = {self.width}"]
            if where != "-":
                offset, bytes_ = re.fullmatch(r"(\d+), (\w+) bytes", where).groups()
                bytes_ = self.form.number(bytes_)
                count = self.at(start + int(offset), bytes_)
                if row["object"] == "GMP bignum":
                    count = abs(count - (1 << 32) if count >> 31 else count)
                each = head["other"] if row["each"] == "other" else self.form.number(row["each"])
                size += count * each
            pointers = count if row["pointers"].startswith("all") else 0
            if row["pointers"].startswith("1 word at"):
                pointers, first = 1, int(row["pointers"].split()[3].rstrip(","))
        words = [self.at(start + first + i * self.width, self.width) for i in range(pointers)]
        return {"at": start, "tag": head["tag"], "size": size, "words": words}, size

    def read(self):
        h = lambda field: self.at(*self.form.header[field])
        version, gmp = h("version"), h("flags") & 1 == 1
        section = self.form.sections[version]
        root_at = section["root"][0]
        end = len(self.data)
        if version == 3:
            end = root_at + self.at(*section["data_size"])
        objects, at = [], section["objects"][0]
        while at < end:
            found, size = self.object(at, gmp)
            if size < 8:
                raise ValueError(f"an object of {size} bytes at {at}")
            objects.append(found)
            at += -(-size // self.width) * self.width
        if at != end:
            raise ValueError(f"objects end at {at}, the data at {end}")
        out = {
            "version": version,
            "gmp": gmp,
            "lean_version": self.text("lean_version"),
            "githash": self.text("githash"),
            "base": h("base"),
            "root": self.at(root_at, self.width),
            "objects": objects,
        }
        if version == 3:
            out |= self.behind(end, root_at)
        return out

    def behind(self, at, root_at):
        take = self.form.number
        size = take(self.form.trailer["closure_count"])
        count, at = self.at(at, size), at + size
        each = take(self.form.trailer["closure_offsets"].split()[0])
        closures = [root_at + self.at(at + i * each, each) for i in range(count)]
        at += count * each
        size = take(self.form.trailer["library_count"])
        count, at = self.at(at, size), at + size
        libraries = []
        for _ in range(count):
            base, at = self.at(at, self.width), at + self.width
            length, at = self.at(at, 4), at + 4
            libraries.append([base, self.data[at : at + length].decode()])
            at += length
        extension, dependencies = None, None
        if at < len(self.data):
            assert self.data[at : at + 8] == b"LREGEXT1", "no extension section"
            at += take(self.form.extension["extension_magic"])
            size = take(self.form.extension["extension_length"])
            extension, at = self.at(at, size), at + size
            assert at + extension == len(self.data), "the payload ends elsewhere"
            dependencies = self.records(at)
        return {"closures": closures, "libraries": libraries, "extension": extension, "dependencies": dependencies}

    def records(self, at):
        """What the record of dependencies among those from `at` on says."""
        while at < len(self.data):
            kind, length, at = self.at(at, 4), self.at(at + 4, 4), at + 8
            if kind == 3:
                return self.dependencies(at, at + length)
            at += length
        return None

    def dependencies(self, at, end):
        size = self.form.number(self.form.record["dependency_count"])
        count, at = self.at(at, size), at + size
        each = self.form.number(self.form.record["dependencies"].split()[0])
        paths = at + count * each
        found = []
        for start in range(at, paths, each):
            fields = {name: self.at(start + o, n) for name, (o, n) in self.form.dependency.items()}
            o, n = self.form.dependency["digest"]
            fields["digest"] = self.data[start + o : start + o + n].hex()
            begin = paths + fields["path_at"]
            fields["path"] = self.data[begin : begin + fields["path_length"]].decode()
            found.append(fields)
        assert paths + sum(f["path_length"] for f in found) == end, "the record ends elsewhere"
        return found


if __name__ == "__main__":
    page, path, width = open(sys.argv[1], encoding="utf-8").read(), sys.argv[2], int(sys.argv[3])
    print(json.dumps(Reader(Format(page, width), open(path, "rb").read()).read()))
