//! The parser of a file's frame, of either pointer width: header, data section, and the sections of version 3
//!.

use super::error::{CheckError, Violation};
use super::file::{File, Library, Sections};
use super::format::room::push;
use crate::format::base::BASE_ALIGN;
use crate::format::object::Bignums;
use crate::format::trailer::EXTENSION_MAGIC;
use crate::format::word::{Width, int32, word};
use std::ops::Range;

type Result<T> = std::result::Result<T, CheckError>;

/// Bytes of the header before the base address.
pub(crate) const HEADER_FIXED: usize = 80;

/// Reads header and sections of a file of known width. `name` is for error texts and may be empty.
pub(crate) fn parse<'a>(bytes: &'a [u8], name: &str, width: Width) -> Result<File<'a>> {
    parse_as(bytes, width)
        .map(|mut f| {
            name.clone_into(&mut f.name);
            f
        })
        .map_err(|e| e.in_file(name))
}

/// Reads header and sections as those of a file of this width.
pub(crate) fn parse_as(bytes: &[u8], width: Width) -> Result<File<'_>> {
    let w = width.bytes();
    let header = HEADER_FIXED + w;
    let size = bytes.len();
    if !b"olean".starts_with(&bytes[..size.min(5)]) {
        return Err(CheckError::new(Violation::Magic).at(0).field("magic"));
    }
    if bytes.starts_with(b"oleanfile") {
        return Err(CheckError::new(Violation::BeforeVersions).at(0).field("magic"));
    }
    if size < header {
        return Err(CheckError::new(Violation::TooShort {
            size: size as u64,
            need: header as u64,
        }));
    }
    if size / w > u32::MAX as usize {
        return Err(CheckError::new(Violation::TooLarge(size as u64)));
    }
    let version = bytes[5];
    if version != 2 && version != 3 {
        return Err(CheckError::new(Violation::Version(version))
            .at(5)
            .field("version"));
    }
    let flags = bytes[6];
    if flags & !1 != 0 {
        return Err(CheckError::new(Violation::Flags(flags)).at(6).field("flags"));
    }
    let lean_version = text(bytes, 7..40, "Lean version")?;
    let githash = text(bytes, 40..80, "githash")?;
    let base = word(bytes, HEADER_FIXED, width);
    let base_error = |v| Err(CheckError::new(v).at(HEADER_FIXED).field("base_addr"));
    if !base.is_multiple_of(BASE_ALIGN) {
        return base_error(Violation::BaseUnaligned(base));
    }
    if size as u64 > width.max() || base > (width.max() - size as u64).saturating_add(1) {
        return base_error(Violation::BaseWraps {
            base,
            size: size as u64,
        });
    }
    let (data, sections) = match version {
        2 => (header..size, None),
        _ => sections(bytes, width).map(|(d, s)| (d, Some(s)))?,
    };
    let n = data.len();
    if !n.is_multiple_of(w) {
        return Err(CheckError::new(Violation::DataNotWords(n as u64)).at(data.end - n % w));
    }
    if n < w {
        return Err(CheckError::new(Violation::NoRoot).at(data.start));
    }
    // An object starts with a zero reference count (32 zero bits), a root pointer does not.
    let (first, last) = (word(bytes, data.start, width), word(bytes, data.end - w, width));
    let is_root =
        |p: u64| p & 1 != 0 || p.is_multiple_of(w as u64) && inside(&data, p.wrapping_sub(base)).is_some();
    let root_last = first as u32 == 0 && n > w && is_root(last);
    let (root_at, root, objects) = if root_last {
        (data.end - w, last, data.start..data.end - w)
    } else {
        (data.start, first, data.start + w..data.end)
    };
    let bignums = if flags & 1 != 0 {
        Bignums::Gmp
    } else {
        Bignums::Native
    };
    Ok(File {
        bytes,
        name: String::new(),
        width,
        version,
        bignums,
        lean_version,
        githash,
        base,
        data,
        objects,
        root_at,
        root,
        sections,
    })
}

/// `offset` where it lies in a range of file offsets.
pub(crate) fn inside(range: &Range<usize>, offset: u64) -> Option<usize> {
    usize::try_from(offset).ok().filter(|o| range.contains(o))
}

fn text<'a>(bytes: &'a [u8], at: Range<usize>, what: &'static str) -> Result<&'a str> {
    let b = &bytes[at.clone()];
    let end = b.iter().position(|&c| c == 0).unwrap_or(b.len());
    if b[end..].iter().any(|&c| c != 0) {
        return Err(CheckError::new(Violation::TextAfterNul)
            .at(at.start + end)
            .field(what));
    }
    let not_ascii = || CheckError::new(Violation::TextNotAscii).at(at.start).field(what);
    if !b[..end].iter().all(|c| (32..127).contains(c)) {
        return Err(not_ascii());
    }
    std::str::from_utf8(&b[..end]).map_err(|_| not_ascii())
}

fn sections(bytes: &[u8], width: Width) -> Result<(Range<usize>, Sections<'_>)> {
    let w = width.bytes();
    let need = |at: usize, n: usize, what| {
        if n > bytes.len() - at {
            return Err(CheckError::new(Violation::Truncated).at(at).field(what));
        }
        Ok(())
    };
    let fits = |claimed: u64, unit: u64, at: usize, what| {
        let left = (bytes.len() - at) as u64;
        if claimed > left / unit {
            return Err(CheckError::new(Violation::DoesNotFit { claimed, left })
                .at(at)
                .field(what));
        }
        Ok((claimed * unit) as usize)
    };
    let mut p = HEADER_FIXED + w;
    need(p, w, "data_size")?;
    let claimed = word(bytes, p, width);
    p += w;
    let data = p..p + fits(claimed, 1, p, "data_size")?;
    p = data.end;
    let offset = p;
    need(p, 4, "num_closure_offsets")?;
    let n = int32(bytes, p);
    p += 4;
    let len = fits(u64::from(n), 8, p, "num_closure_offsets")?;
    let closures = &bytes[p..p + len];
    p += len;
    need(p, 4, "num_libs")?;
    let m = int32(bytes, p);
    p += 4;
    fits(u64::from(m), w as u64 + 4, p, "num_libs")?;
    // What `m` claims is bounded by the check above, but grow by what is really there.
    let mut libraries = Vec::new();
    for i in 0..m {
        if w + 4 > bytes.len() - p {
            return Err(CheckError::new(Violation::Truncated)
                .at(p)
                .nth("library", i.into()));
        }
        let base = word(bytes, p, width);
        let at = p + w + 4;
        let len = fits(u64::from(int32(bytes, p + w)), 1, at, "id_len")?;
        let library = Library {
            base,
            id: &bytes[at..at + len],
            offset: p,
        };
        push(&mut libraries, library, "the list of libraries")?;
        p = at + len;
    }
    let rest = &bytes[p..];
    let extension = if rest.is_empty() {
        None
    } else if rest.len() >= 8 && &rest[..8] == EXTENSION_MAGIC {
        if rest.len() < 16 || word(rest, 8, Width::W64) != (rest.len() - 16) as u64 {
            return Err(CheckError::new(Violation::Extension).at(p + 8));
        }
        Some(&rest[16..])
    } else {
        return Err(CheckError::new(Violation::Garbage(rest.len() as u64)).at(p));
    };
    Ok((
        data,
        Sections {
            offset,
            closures,
            libraries,
            extension,
        },
    ))
}
