//! One loaded ELF object as it lies in memory: its segments, and what its dynamic section leads to:
//! symbols looked up through the GNU hash table, and relocation tables. Nothing is parsed ahead: a host
//! has 230,000 dynamic symbols, and start-up is not the time to look at them.

use std::ffi::{CStr, CString, OsStr};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{PF_R, PF_W, PF_X, PT_DYNAMIC, PT_LOAD};

use super::linker::{Listed, each_listed};
use super::page::page_size;
use super::pages;

// Tags of the dynamic section and symbol fields (System V gABI, "Dynamic Section" and "Symbol Table").
const DT_PLTRELSZ: u64 = 2;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_STRSZ: u64 = 10;
const DT_TEXTREL: u64 = 22;
const DT_JMPREL: u64 = 23;
const DT_FLAGS: u64 = 30;
/// Bit of `DT_FLAGS` that says the same as `DT_TEXTREL`: segments that are not writable were relocated.
const DF_TEXTREL: usize = 4;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DT_RELACOUNT: u64 = 0x6fff_fff9;
const SYM_LEN: usize = 24;
const RELA_LEN: usize = 24;
const STT_FUNC: u8 = 2;

/// Program header of the property note (Linux gABI extensions).
const PT_GNU_PROPERTY: u32 = 0x6474_e553;
/// The one type of property notes.
const NT_GNU_PROPERTY_TYPE_0: u32 = 5;
/// Property of AArch64 whose bits hold for all code of the object (ABI for the Arm 64-bit Architecture, "Program
/// Property").
const GNU_PROPERTY_AARCH64_FEATURE_1_AND: u32 = 0xc000_0000;
const GNU_PROPERTY_AARCH64_FEATURE_1_BTI: u32 = 1;

/// A function of a loaded object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function {
    /// Address of its first instruction.
    pub entry: usize,
    /// Its length in bytes by the symbol table; 0 where the table does not say.
    pub size: usize,
}

/// A relocation of a loaded object that names a symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relocation {
    /// Address of the word it fills.
    pub slot: usize,
    /// Its type, numbered per architecture.
    pub kind: u32,
    /// Index of its symbol.
    pub symbol: u32,
}

#[derive(Debug)]
struct Segment {
    range: Range<usize>,
    flags: u32,
}

/// A loaded object. Its memory is read on demand, and only inside its readable segments.
#[derive(Debug)]
pub struct ElfObject {
    name: CString,
    bias: usize,
    segments: Vec<Segment>,
    dynamic: Vec<(u64, usize)>,
    /// Where its property note lies.
    property: Option<Range<usize>>,
}

impl ElfObject {
    /// The objects loaded in this process, the main program first (its name is empty), that `wanted`
    /// says yes to.
    ///
    /// # Safety
    /// The objects kept must stay loaded as long as the results are used.
    pub unsafe fn loaded(mut wanted: impl FnMut(&ElfObject) -> bool) -> Vec<ElfObject> {
        let mut kept = Vec::new();
        each_listed(|listed| {
            // SAFETY: loaded during the walk, and afterwards by the caller's contract.
            let object = unsafe { ElfObject::of(listed) };
            if wanted(&object) {
                kept.push(object);
            }
            false
        });
        kept
    }

    /// # Safety
    /// The listed object stays loaded as long as the result is used.
    unsafe fn of(listed: &Listed) -> ElfObject {
        let bias = listed.base();
        let headers = listed.headers();
        let name = listed.name().to_owned();
        let range = |h: &libc::Elf64_Phdr| {
            let start = bias.wrapping_add(h.p_vaddr as usize);
            start..start.saturating_add(h.p_memsz as usize)
        };
        let segments = headers
            .iter()
            .filter(|h| h.p_type == PT_LOAD)
            .map(|h| Segment {
                range: range(h),
                flags: h.p_flags,
            })
            .collect();
        let mut object = ElfObject {
            name,
            bias,
            segments,
            dynamic: Vec::new(),
            property: headers.iter().find(|h| h.p_type == PT_GNU_PROPERTY).map(range),
        };
        if let Some(header) = headers.iter().find(|h| h.p_type == PT_DYNAMIC) {
            let range = range(header);
            object.dynamic = object.read_dynamic(range);
        }
        object
    }

    fn read_dynamic(&self, range: Range<usize>) -> Vec<(u64, usize)> {
        let Some(bytes) = self.bytes(range.start, range.len()) else {
            return Vec::new();
        };
        bytes
            .as_chunks::<16>()
            .0
            .iter()
            .map(|entry| (u64_at(entry, 0), u64_at(entry, 8) as usize))
            .take_while(|&(tag, _)| tag != 0)
            .collect()
    }

    /// The file it was loaded from as the loader names it; empty for the main program.
    #[must_use]
    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// The same as a path.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.name.to_bytes()))
    }

    /// What the loader added to the addresses in the file (`dlpi_addr`).
    #[must_use]
    pub fn base(&self) -> usize {
        self.bias
    }

    /// Whether `address` lies in one of its segments.
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        self.segments.iter().any(|s| s.range.contains(&address))
    }

    /// The executable segment that `address` lies in.
    #[must_use]
    pub fn code_around(&self, address: usize) -> Option<Range<usize>> {
        self.segments
            .iter()
            .find(|s| s.flags & PF_X != 0 && s.range.contains(&address))
            .map(|s| s.range.clone())
    }

    /// `len` bytes at `address`; `None` unless all of them lie in one readable segment. For what nothing
    /// writes to while the slice lives: tables, and code that is not being patched.
    #[must_use]
    pub fn bytes(&self, address: usize, len: usize) -> Option<&[u8]> {
        let end = address.checked_add(len)?;
        let inside = |s: &Segment| s.flags & PF_R != 0 && s.range.start <= address && end <= s.range.end;
        self.segments.iter().any(inside).then(|| {
            // SAFETY: the range lies inside a readable segment of an object that stays loaded (contract
            // of `loaded`). The last page of a segment's memory size is mapped too.
            unsafe { std::slice::from_raw_parts(address as *const u8, len) }
        })
    }

    /// Whether all its code begins its functions with landing pads (`BTI` of AArch64), so that the dynamic linker maps it
    /// guarded: an indirect branch to anything else faults.
    #[must_use]
    pub fn has_landing_pads(&self) -> bool {
        let note = self.property.as_ref();
        let bytes = note.and_then(|range| self.bytes(range.start, range.len()));
        bytes.is_some_and(has_bti_property)
    }

    fn dynamic_value(&self, tag: u64) -> Option<usize> {
        self.dynamic
            .iter()
            .find(|&&(t, _)| t == tag)
            .map(|&(_, value)| value)
    }

    /// The address under a tag: the loader of glibc has already added the load address, others have not.
    fn dynamic_address(&self, tag: u64) -> Option<usize> {
        let value = self.dynamic_value(tag)?;
        Some(if self.contains(value) {
            value
        } else {
            self.bias.wrapping_add(value)
        })
    }

    fn u32s(&self, address: usize, count: usize) -> Option<&[[u8; 4]]> {
        Some(self.bytes(address, count.checked_mul(4)?)?.as_chunks().0)
    }

    /// The symbol at an index: offset of its name, its type, whether it is defined, address and size.
    fn symbol(&self, index: u32) -> Option<Symbol> {
        let at = self
            .dynamic_address(DT_SYMTAB)?
            .checked_add(index as usize * SYM_LEN)?;
        let bytes = self.bytes(at, SYM_LEN)?;
        Some(Symbol {
            name: u32_at(bytes, 0),
            kind: bytes[4] & 15,
            defined: bytes[6..8] != [0, 0],
            address: self.bias.wrapping_add(u64_at(bytes, 8) as usize),
            size: u64_at(bytes, 16) as usize,
        })
    }

    fn name_is(&self, offset: u32, name: &CStr) -> bool {
        self.name_begins(offset, name.to_bytes_with_nul())
    }

    /// Whether the string at an offset of the string table begins with `name`.
    fn name_begins(&self, offset: u32, name: &[u8]) -> bool {
        let (Some(table), Some(len)) = (self.dynamic_address(DT_STRTAB), self.dynamic_value(DT_STRSZ)) else {
            return false;
        };
        let fits = (offset as usize)
            .checked_add(name.len())
            .is_some_and(|end| end <= len);
        fits && self.bytes(table + offset as usize, name.len()) == Some(name)
    }

    /// The function that this object itself defines and exports under `name`.
    #[must_use]
    pub fn function(&self, name: &CStr) -> Option<Function> {
        let found = self.symbol_by_gnu_hash(name)?;
        let is_code = found.kind == STT_FUNC && self.code_around(found.address).is_some();
        is_code.then_some(Function {
            entry: found.address,
            size: found.size,
        })
    }

    /// Whether this object defines and exports a symbol of any kind under `name`.
    #[must_use]
    pub fn defines(&self, name: &CStr) -> bool {
        self.symbol_by_gnu_hash(name).is_some()
    }

    /// Whether this object asks for a symbol from other objects whose name begins with `prefix`.
    #[must_use]
    pub fn imports(&self, prefix: &[u8]) -> bool {
        // What is not defined stands before all that the hash table knows.
        let hashed = self.gnu_hash().map(|table| table.first);
        let count = hashed.or_else(|| self.symbol_count()).unwrap_or(0);
        (1..count)
            .filter_map(|index| self.symbol(index))
            .any(|symbol| !symbol.defined && self.name_begins(symbol.name, prefix))
    }

    fn symbol_by_gnu_hash(&self, name: &CStr) -> Option<Symbol> {
        let table = self.gnu_hash()?;
        let hash = name
            .to_bytes()
            .iter()
            .fold(5381u32, |h, &b| h.wrapping_mul(33).wrapping_add(b.into()));
        let word = u64_at(
            self.bytes(table.bloom + (hash / 64) as usize % table.bloom_len * 8, 8)?,
            0,
        );
        if word >> (hash % 64) & word >> ((hash >> table.shift) % 64) & 1 == 0 {
            return None;
        }
        let bucket = table.buckets + (hash as usize % table.bucket_len) * 4;
        let mut index = u32_at(self.bytes(bucket, 4)?, 0);
        if index < table.first {
            return None;
        }
        loop {
            let chain = u32_at(
                self.bytes(table.chains + (index - table.first) as usize * 4, 4)?,
                0,
            );
            if (chain ^ hash) >> 1 == 0 {
                let symbol = self.symbol(index)?;
                if symbol.defined && self.name_is(symbol.name, name) {
                    return Some(symbol);
                }
            }
            if chain & 1 == 1 {
                return None;
            }
            index = index.checked_add(1)?;
        }
    }

    fn gnu_hash(&self) -> Option<GnuHash> {
        let at = self.dynamic_address(DT_GNU_HASH)?;
        let header = self.bytes(at, 16)?;
        let (bucket_len, first) = (u32_at(header, 0) as usize, u32_at(header, 4));
        let (bloom_len, shift) = (u32_at(header, 8) as usize, u32_at(header, 12) & 31);
        let bloom = at + 16;
        let buckets = bloom.checked_add(bloom_len.checked_mul(8)?)?;
        let chains = buckets.checked_add(bucket_len * 4)?;
        (bucket_len > 0 && bloom_len > 0).then_some(GnuHash {
            bucket_len,
            first,
            bloom_len,
            shift,
            bloom,
            buckets,
            chains,
        })
    }

    /// Number of dynamic symbols: the hash tables are what says so at run time.
    fn symbol_count(&self) -> Option<u32> {
        if let Some(at) = self.dynamic_address(DT_HASH) {
            return Some(u32_at(self.bytes(at + 4, 4)?, 0));
        }
        let table = self.gnu_hash()?;
        let last = self
            .u32s(table.buckets, table.bucket_len)?
            .iter()
            .map(|&b| u32::from_le_bytes(b))
            .max()?;
        if last < table.first {
            return Some(table.first);
        }
        let mut index = last;
        while u32_at(
            self.bytes(table.chains + (index - table.first) as usize * 4, 4)?,
            0,
        ) & 1
            == 0
        {
            index = index.checked_add(1)?;
        }
        index.checked_add(1)
    }

    /// The lowest address above `address` at which an exported symbol begins, or else the end of the
    /// segment. Goes through all dynamic symbols. `None` where they cannot be counted.
    #[must_use]
    pub fn next_symbol(&self, address: usize) -> Option<usize> {
        let end = self.code_around(address)?.end;
        let symbols = (0..self.symbol_count()?).filter_map(|i| self.symbol(i));
        Some(
            symbols
                .filter(|s| s.defined && s.address > address)
                .map(|s| s.address)
                .fold(end, usize::min),
        )
    }

    /// The relocations that name a symbol: those of the procedure linkage table and the others, without
    /// the relative ones (which come first and are counted).
    pub fn relocations(&self) -> impl Iterator<Item = Relocation> {
        let table = |start, len, skip: usize| {
            let skip = skip.checked_mul(RELA_LEN);
            let range = self.dynamic_address(start).zip(self.dynamic_value(len)).zip(skip);
            let bytes =
                range.and_then(|((at, len), skip)| self.bytes(at.checked_add(skip)?, len.checked_sub(skip)?));
            bytes.unwrap_or_default().as_chunks::<RELA_LEN>().0
        };
        let relative = self.dynamic_value(DT_RELACOUNT).unwrap_or(0);
        let linkage = table(DT_JMPREL, DT_PLTRELSZ, 0);
        let others = table(DT_RELA, DT_RELASZ, relative);
        linkage.iter().chain(others).map(|entry| Relocation {
            slot: self.bias.wrapping_add(u64_at(entry, 0) as usize),
            kind: u64_at(entry, 8) as u32,
            symbol: (u64_at(entry, 8) >> 32) as u32,
        })
    }

    /// The whole pages of the tables that the dynamic linker goes by: symbols, their names and hashes, relocations. None
    /// where they do not lie in a segment that is for reading alone, or may have been written to.
    fn pages_of_tables(&self) -> Option<Range<usize>> {
        let is_written = self.dynamic_value(DT_TEXTREL).is_some()
            || self.dynamic_value(DT_FLAGS).unwrap_or(0) & DF_TEXTREL != 0;
        let tables = [DT_SYMTAB, DT_GNU_HASH, DT_STRTAB, DT_RELA];
        let begins = tables.map(|tag| self.dynamic_address(tag));
        let start = begins.into_iter().flatten().min()?;
        let end = |table, len: usize| self.dynamic_address(table)?.checked_add(len);
        let names = end(DT_STRTAB, self.dynamic_value(DT_STRSZ)?)?;
        let relative = self
            .dynamic_value(DT_RELACOUNT)
            .unwrap_or(0)
            .checked_mul(RELA_LEN)?;
        let end = end(DT_RELA, relative).map_or(names, |relocations| relocations.max(names));
        let is_around = |s: &&Segment| s.range.start <= start && end <= s.range.end;
        let segment = self.segments.iter().find(is_around)?;
        let page = page_size();
        let pages = start.next_multiple_of(page)..end / page * page;
        (!is_written && segment.flags & (PF_R | PF_W | PF_X) == PF_R && !pages.is_empty()).then_some(pages)
    }

    /// Lets go of the memory of tables that start-up has used and hardly anybody needs after it, of a host some
    /// megabytes. They stay where they are, in the file; who looks at them brings the pages back.
    pub fn let_go_of_tables(&self) {
        if let Some(pages) = self.pages_of_tables() {
            // SAFETY: pages of a segment of a loaded object that can be read and not be written to, and was not relocated.
            unsafe { pages::let_go(pages) };
        }
    }

    /// Whether the symbol at `index` is called `name`.
    #[must_use]
    pub fn symbol_is(&self, index: u32, name: &CStr) -> bool {
        self.symbol(index).is_some_and(|s| self.name_is(s.name, name))
    }
}

/// Whether a property note says that all code has landing pads.
fn has_bti_property(note: &[u8]) -> bool {
    let Some((head, rest)) = note.split_at_checked(16) else {
        return false;
    };
    if u32_at(head, 0) != 4 || u32_at(head, 8) != NT_GNU_PROPERTY_TYPE_0 || &head[12..] != b"GNU\0" {
        return false;
    }
    let mut properties = rest.get(..u32_at(head, 4) as usize).unwrap_or_default();
    while let Some((head, rest)) = properties.split_at_checked(8) {
        let len = u32_at(head, 4) as usize;
        let Some(value) = rest.get(..len) else {
            return false;
        };
        if u32_at(head, 0) == GNU_PROPERTY_AARCH64_FEATURE_1_AND && len == 4 {
            return u32_at(value, 0) & GNU_PROPERTY_AARCH64_FEATURE_1_BTI != 0;
        }
        properties = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    false
}

struct Symbol {
    name: u32,
    kind: u8,
    defined: bool,
    address: usize,
    size: usize,
}

/// Where the parts of a GNU hash table lie, and its numbers.
struct GnuHash {
    bucket_len: usize,
    first: u32,
    bloom_len: usize,
    shift: u32,
    bloom: usize,
    buckets: usize,
    chains: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8; 4], properties: &[(u32, u32)]) -> Vec<u8> {
        let mut out: Vec<u8> = [4, 16 * properties.len() as u32, NT_GNU_PROPERTY_TYPE_0]
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .collect();
        out.extend(name);
        for &(kind, value) in properties {
            out.extend([kind, 4, value, 0].iter().flat_map(|n| n.to_le_bytes()));
        }
        out
    }

    #[test]
    fn landing_pads_are_a_property_of_aarch64() {
        let and = GNU_PROPERTY_AARCH64_FEATURE_1_AND;
        assert!(has_bti_property(&note(b"GNU\0", &[(and, 3)])));
        assert!(has_bti_property(&note(b"GNU\0", &[(1, 0), (and, 1)])));
        assert!(
            !has_bti_property(&note(b"GNU\0", &[(and, 2)])),
            "signed return addresses alone"
        );
        assert!(!has_bti_property(&note(b"GNU\0", &[(0xc000_0002, 3)])), "x86's");
        assert!(!has_bti_property(&note(b"XYZ\0", &[(and, 1)])));
        let whole = note(b"GNU\0", &[(1, 0), (and, 1)]);
        for len in 0..whole.len() - 8 {
            assert!(!has_bti_property(&whole[..len]), "cut to {len}");
        }
    }

    #[test]
    fn tables_of_the_linker_are_pages_for_reading_alone() {
        // SAFETY: libc stays loaded.
        let libc = unsafe { ElfObject::loaded(|object| object.contains(libc::getpid as *const () as usize)) };
        let libc = &libc[0];
        let pages = libc.pages_of_tables().expect("it has tables");
        let segment = libc.segments.iter().find(|s| s.range.contains(&pages.start));
        assert_eq!(segment.expect("they lie in it").flags, PF_R);
        assert!(pages.contains(&libc.dynamic_address(DT_STRTAB).expect("names")));
        assert!(pages.start.is_multiple_of(page_size()) && pages.end.is_multiple_of(page_size()));
        libc.let_go_of_tables();
        assert!(libc.function(c"getpid").is_some());
    }

    #[test]
    fn imported_symbols_are_told_by_how_they_begin() {
        // SAFETY: the test program stays loaded.
        let own = unsafe { ElfObject::loaded(|object| object.name().is_empty()) };
        assert!(own[0].imports(b"dl_iterate_ph"));
        assert!(!own[0].imports(b"__gmpz_"));
        // SAFETY: the C library stays loaded.
        let libc = unsafe { ElfObject::loaded(|object| object.contains(libc::getpid as *const () as usize)) };
        assert!(!libc[0].imports(b"getpid"), "its own");
    }
}
