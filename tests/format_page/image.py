"""Another reader of images, written from docs/format.md: it knows the layout only from the tables there.

Prints what it finds in an image as JSON: `image.py FORMAT.md IMAGE`. Each region is read like a file; its pointers have to
lead to objects of the regions in its chain.
"""

import json
import sys

from reader import Format, Reader, tables

LISTED, EMPTY = 1 << 31, 0xFFFFFFFF


class Image:
    """An image, read by the tables of the page."""

    def __init__(self, page, data):
        self.form, self.data = Format(page, 8), data
        rows = {heading: table for heading, table in tables(page)}
        fields = lambda heading: {r["field"]: (int(r["offset"]), int(r["size"])) for r in rows[heading]}
        self.header_at, self.entry_at = fields("Image header"), fields("Image entry")
        self.formulas = {r["value"]: r["is"].strip("`") for r in rows["Image look-up"]}
        h = {name: self.at(o, n) for name, (o, n) in self.header_at.items()}
        self.header = h
        assert self.bytes(self.header_at["magic"]) == b"leanimg\n" and self.bytes(self.header_at["valid"]) == b"complete"
        assert h["version"] == 2 and h["size"] == len(data), "version and size"
        self.tables, at = {}, h["page"]
        for row in rows["Image tables"]:
            aligned = int(row["aligned"])
            at = -(-at // aligned) * aligned
            size = eval(row["bytes"], {}, h)
            self.tables[row["table"]] = (at, size)
            at += size
        self.entry_size = self.tables["entries"][1] // max(h["entries"], 1)

    def at(self, offset, size):
        assert offset + size <= len(self.data), "the file ends"
        return int.from_bytes(self.data[offset : offset + size], "little")

    def bytes(self, field):
        offset, size = field
        return self.data[offset : offset + size]

    def words(self, table):
        """The words of 4 bytes of a table."""
        at, size = self.tables[table]
        return [self.at(at + i, 4) for i in range(0, size, 4)]

    def entry(self, index):
        start = self.tables["entries"][0] + index * self.entry_size
        return {name: self.at(start + o, n) for name, (o, n) in self.entry_at.items()}

    def chain(self, index, word):
        """The entries that the region of an entry points into."""
        if not word & LISTED:
            return list(range(index - word, index))
        chains, at = self.words("chains"), word ^ LISTED
        ranges = [chains[at + 1 + 2 * i : at + 3 + 2 * i] for i in range(chains[at])]
        return [entry for first, count in ranges for entry in range(first, first + count)]

    def find(self, device, inode):
        """The entry of a file, or None, by way of the slots."""
        slots = self.words("file_slots")
        known = {"device": device, "inode": inode, "slots": len(slots)}
        for name in ("mixed", "spread", "slot of a file"):
            known[name] = eval(self.formulas[name], {}, known)
        slot = known["slot of a file"]
        while slots[slot] != EMPTY:
            entry = self.entry(slots[slot])
            if (entry["device"], entry["inode"]) == (device, inode):
                return slots[slot]
            slot = (slot + 1) % len(slots)
        return None

    def paths(self):
        """The paths of each entry; every record is in a slot, once."""
        at, size = self.tables["path_records"]
        found, records, offset = {}, [], 0
        while offset < size:
            entry, length = self.at(at + offset, 4), self.at(at + offset + 4, 4)
            records.append(offset)
            found.setdefault(entry, []).append(self.bytes((at + offset + 8, length)).decode())
            offset += -(-(8 + length) // 4) * 4
        assert sorted(s for s in self.words("path_slots") if s != EMPTY) == records, "slots of paths"
        return found

    def region(self, entry):
        """A region, read like a file, with its pointers made offsets in the image."""
        start, size = entry["offset"], entry["file_size"]
        changeable = entry["flags"] & 1
        section = ("constant", "changeable")[changeable]
        begin = self.header[f"{section}_start"]
        assert begin <= start and start + size <= begin + self.header[section], "the section"
        found = Reader(self.form, self.data[start : start + size]).read()
        assert found["base"] == entry["file_base"] and found["root"] == entry["root"], "base and root"
        assert bool(found.get("closures")) == bool(entry["flags"] & 2), "closures"
        after = self.data[start + size : -(-(start + size) // 4096) * 4096]
        assert not any(after), "zeros behind the region"
        return found

    def read(self):
        paths, out, starts = self.paths(), [], []
        for index in range(self.header["entries"]):
            entry = self.entry(index)
            assert self.find(entry["device"], entry["inode"]) == index, "found by its file"
            found = self.region(entry)
            starts.append({self.header["base"] + entry["offset"] + o["at"] for o in found["objects"]})
            chain = self.chain(index, entry["chain"])
            words = [w for o in found["objects"] for w in o["words"]] + [entry["root"]]
            pointers = [w for w in words if w & 1 == 0]
            inside = sum(p in starts[index] for p in pointers)
            assert all(p in starts[index] or any(p in starts[c] for c in chain) for p in pointers), "pointers"
            copy = self.bytes((self.tables["roots"][0] + 64 * index, 64))
            root = next((o for o in found["objects"] if self.header["base"] + entry["offset"] + o["at"] == entry["root"]), None)
            small = root is not None and root["tag"] <= 244 and root["size"] <= 64 and not entry["flags"] & 1
            whole = self.bytes((entry["root"] - self.header["base"], root["size"])) if small else b""
            assert bool(entry["flags"] & 4) == small and copy == whole + bytes(64 - len(whole)), "the copy of the root"
            out.append(entry | {"paths": paths[index], "objects": len(found["objects"]), "outside": len(pointers) - inside})
        at, size = self.tables["digests"]
        assert at + size <= self.header["constant_start"] and size == 32 * len(out), "digests"
        text = lambda field: self.bytes(self.header_at[field]).rstrip(b"\0").decode()
        return self.header | {"githash": text("githash"), "lean_version": text("lean_version"), "regions": out}


page, data = open(sys.argv[1], encoding="utf-8").read(), open(sys.argv[2], "rb").read()
print(json.dumps(Image(page, data).read(), default=str))
