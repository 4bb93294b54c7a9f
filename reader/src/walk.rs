//! The linear pass over the objects of a file: proves of each its header, size, alignment, padding and
//! contents, and hands it on. Pointers are the matter of the caller.

use super::error::{CheckError, ObjectRef, Violation};
use super::file::File;
use crate::format::object::{BIG_CS_SZ, Bignums, Kind, Layout, OBJECT_HEADER, ObjectHeader};
use crate::format::word::{Width, half, word};

type Result<T> = std::result::Result<T, CheckError>;

/// Constructors have fewer scalar bytes than this (`LEAN_MAX_CTOR_SCALARS_SIZE`), rounded up to a word.
const MAX_SCALARS: usize = 1024 + 7;

/// An object whose extent is proved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    /// Number in file order.
    pub index: u32,
    pub kind: Kind,
    pub tag: u8,
    /// File offset.
    pub at: usize,
    /// File offset of the first pointer field, and how many there are.
    pub fields: usize,
    pub count: usize,
    /// File offset behind the object and its padding.
    pub end: usize,
}

impl Object {
    pub(crate) fn reference(&self) -> ObjectRef {
        ObjectRef {
            index: self.index,
            offset: self.at as u64,
            kind: Some(self.kind),
            tag: self.tag,
        }
    }
}

/// What the pass noticed besides.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub objects: u32,
    /// Constructors whose `m_cs_sz` is not a multiple of the word size.
    pub unrounded: u32,
    /// Bignums so large that `m_cs_sz` is truncated.
    pub truncated: u32,
}

/// Walks the objects of `file`, whose words have `W` bytes. With `STRICT` everything is proved; without,
/// only what the extent of objects depends on, for files that were proved before and whose pointers may
/// have been rewritten since.
pub(crate) fn walk<const W: usize, const STRICT: bool>(
    file: &File<'_>,
    mut sink: impl FnMut(&Object) -> Result<()>,
) -> Result<Seen> {
    let end = file.objects.end;
    let mut scan = Scan::<W, STRICT> {
        file,
        data: &file.bytes[..end],
        seen: Seen::default(),
    };
    let mut at = file.objects.start;
    while at < end {
        let object = scan.object(at)?;
        sink(&object)?;
        at = object.end;
        scan.seen.objects += 1;
    }
    Ok(scan.seen)
}

struct Scan<'f, 'a, const W: usize, const STRICT: bool> {
    file: &'f File<'a>,
    /// The file up to the end of the objects.
    data: &'f [u8],
    seen: Seen,
}

/// An object being looked at, for error texts.
#[derive(Clone, Copy)]
struct Head {
    at: usize,
    kind: Option<Kind>,
    tag: u8,
    cs: u16,
    other: u8,
}

const fn round_up(n: usize, w: usize) -> usize {
    (n + w - 1) & !(w - 1)
}

impl<const W: usize, const STRICT: bool> Scan<'_, '_, W, STRICT> {
    const WIDTH: Width = if W == 4 { Width::W32 } else { Width::W64 };

    #[inline(always)]
    fn layout(&self) -> Layout {
        Layout::new(Self::WIDTH, self.file.bignums)
    }

    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        word(self.data, at, Self::WIDTH)
    }

    #[cold]
    #[inline(never)]
    fn bad<T>(&self, h: Head, at: usize, field: &'static str, what: Violation) -> Result<T> {
        let object = ObjectRef {
            index: self.seen.objects,
            offset: h.at as u64,
            kind: h.kind,
            tag: h.tag,
        };
        let e = CheckError::new(what).at(at).object(object);
        Err(if field.is_empty() { e } else { e.field(field) })
    }

    #[inline(always)]
    fn expect(&self, h: Head, at: usize, field: &'static str, found: u64, expected: u64) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        self.bad(h, at, field, Violation::Expected { found, expected })
    }

    /// The bytes up to the next word are there and zero; the offset behind them.
    #[inline(always)]
    fn pad(&self, h: Head, end: usize) -> Result<usize> {
        let next = round_up(end, W);
        if next > self.data.len() {
            return self.bad(h, h.at, "", Violation::PastEnd);
        }
        if STRICT && self.data[end..next].iter().any(|&b| b != 0) {
            return self.bad(h, end, "", Violation::Padding);
        }
        Ok(next)
    }

    #[inline(always)]
    fn object(&mut self, at: usize) -> Result<Object> {
        let left = self.data.len() - at;
        if left < OBJECT_HEADER {
            let h = Head {
                at,
                kind: None,
                tag: 0,
                cs: 0,
                other: 0,
            };
            return self.bad(h, at, "", Violation::PastEnd);
        }
        let head = word(self.data, at, Width::W64);
        let header = ObjectHeader::of_word(head);
        let ObjectHeader {
            cs_sz: cs,
            other,
            tag,
        } = header;
        let kind = header.kind();
        let h = Head {
            at,
            kind,
            tag,
            cs,
            other,
        };
        if head as u32 != 0 {
            return self.bad(h, at, "m_rc", Violation::RefCount(head as u32));
        }
        let Some(kind) = kind else {
            return self.bad(h, at + 7, "m_tag", Violation::Tag(tag));
        };
        let (first, pointers) = self.layout().pointers(kind, header, 0);
        let (body, pointers) = (at + first, pointers as usize);
        let (fields, count, end) = match kind {
            Kind::Ctor => {
                let fixed = first + W * pointers;
                let size = usize::from(cs);
                if size < fixed || size - fixed > MAX_SCALARS {
                    return self.bad(
                        h,
                        at + 4,
                        "m_cs_sz",
                        Violation::CtorSize {
                            found: cs,
                            fields: other,
                        },
                    );
                }
                self.seen.unrounded += u32::from(!size.is_multiple_of(W));
                (body, pointers, self.pad(h, at + size)?)
            }
            Kind::Array | Kind::Sarray | Kind::String => self.sized(h, kind, left)?,
            Kind::Mpz => (body, pointers, self.mpz(h, left)?),
            Kind::Closure => self.closure(h, header, left)?,
            Kind::Thunk | Kind::Task => {
                let size = self.fixed(h, kind, left)?;
                if STRICT {
                    let name = if kind == Kind::Thunk { "m_closure" } else { "m_imp" };
                    self.expect(h, body + W, name, self.word(body + W), 0)?;
                }
                (body, pointers, at + size)
            }
            Kind::Ref | Kind::Promise => {
                let size = self.fixed(h, kind, left)?;
                (body, pointers, at + size)
            }
        };
        Ok(Object {
            index: self.seen.objects,
            kind,
            tag,
            at,
            fields,
            count,
            end,
        })
    }

    /// An object of a kind that has always as many bytes: how many.
    fn fixed(&self, h: Head, kind: Kind, left: usize) -> Result<usize> {
        let size = self.layout().fixed(kind);
        self.expect(h, h.at + 4, "m_cs_sz", h.cs.into(), size as u64)?;
        self.expect(h, h.at + 6, "m_other", h.other.into(), 0)?;
        if left < size {
            return self.bad(h, h.at, "", Violation::PastEnd);
        }
        Ok(size)
    }

    /// An object with size and capacity: first pointer, number of pointers, end.
    #[inline(always)]
    fn sized(&self, h: Head, kind: Kind, left: usize) -> Result<(usize, usize, usize)> {
        let body = h.at + OBJECT_HEADER;
        let fixed = self.layout().fixed(kind);
        if STRICT {
            self.expect(h, h.at + 4, "m_cs_sz", h.cs.into(), BIG_CS_SZ.into())?;
        }
        if left < fixed {
            return self.bad(h, h.at, "", Violation::PastEnd);
        }
        let (size, capacity) = (self.word(body), self.word(body + W));
        if size != capacity {
            let what = Violation::Expected {
                found: capacity,
                expected: size,
            };
            return self.bad(h, body + W, "m_capacity", what);
        }
        let element = match kind {
            Kind::Sarray if !matches!(h.other, 1 | 2 | 4 | 8) => {
                return self.bad(h, h.at + 6, "m_other", Violation::ElementSize(h.other));
            }
            Kind::Sarray => self.layout().unit(kind, h.other),
            _ => {
                if STRICT {
                    self.expect(h, h.at + 6, "m_other", h.other.into(), 0)?;
                }
                self.layout().unit(kind, h.other)
            }
        };
        let room = left - fixed;
        if size > (room / element) as u64 {
            let what = Violation::DoesNotFit {
                claimed: size,
                left: room as u64,
            };
            return self.bad(h, body, "m_size", what);
        }
        // Fits in the file, so neither this nor the product below overflows.
        let size = size as usize;
        let start = h.at + fixed;
        let end = start + size * element;
        match kind {
            Kind::Array => return Ok((start, size, end)),
            Kind::String => self.string(h, start, size)?,
            _ => {}
        }
        Ok((start, 0, self.pad(h, end)?))
    }

    #[inline(always)]
    fn string(&self, h: Head, start: usize, size: usize) -> Result<()> {
        let body = h.at + OBJECT_HEADER;
        if size == 0 {
            return self.bad(h, body, "m_size", Violation::Unterminated);
        }
        if !STRICT {
            return Ok(());
        }
        let (nul, text) = self.data[start..start + size].split_last().expect("not empty");
        if *nul != 0 {
            return self.bad(h, start + size - 1, "m_data", Violation::Unterminated);
        }
        let length = if text.is_ascii() {
            text.len()
        } else {
            match std::str::from_utf8(text) {
                Ok(s) => s.chars().count(),
                Err(e) => return self.bad(h, start + e.valid_up_to(), "m_data", Violation::Utf8),
            }
        };
        let at = h.at + self.layout().length_word();
        self.expect(h, at, "m_length", self.word(at), length as u64)
    }

    fn closure(&self, h: Head, header: ObjectHeader, left: usize) -> Result<(usize, usize, usize)> {
        if self.file.version < 3 {
            return self.bad(h, h.at + 7, "m_tag", Violation::ClosureInV2);
        }
        let layout = self.layout();
        let fixed = layout.fixed(Kind::Closure);
        if left < fixed {
            return self.bad(h, h.at, "", Violation::PastEnd);
        }
        let at = h.at + layout.arity();
        let (arity, n) = (half(self.data, at), half(self.data, at + 2));
        self.expect(h, h.at + 6, "m_other", h.other.into(), 0)?;
        if n >= arity {
            return self.bad(h, at, "m_arity", Violation::ClosureShape { arity, fixed: n });
        }
        // At most 65,535 arguments, so this does not overflow.
        let size = layout.bytes(Kind::Closure, header, n.into()).expect("counted") as usize;
        // With 32 bits a closure may have a few bytes more than its arguments need, and its size says so.
        let (agrees, expected, bytes) = match Self::WIDTH {
            Width::W64 => {
                let cs = Layout::cs_sz(Kind::Closure, size as u64);
                (h.cs == cs, cs.into(), size)
            }
            Width::W32 => {
                let cs = usize::from(h.cs);
                (cs >= size && cs < size + 8, size as u64, cs)
            }
        };
        if !agrees {
            let found = h.cs.into();
            return self.bad(h, h.at + 4, "m_cs_sz", Violation::Expected { found, expected });
        }
        if self.word(h.at + OBJECT_HEADER) == 0 {
            return self.bad(h, h.at + OBJECT_HEADER, "m_fun", Violation::ClosureNull);
        }
        let end = h.at + round_up(bytes, W);
        if end > self.data.len() {
            return self.bad(h, h.at, "", Violation::PastEnd);
        }
        Ok((h.at + fixed, n.into(), end))
    }

    fn mpz(&mut self, h: Head, left: usize) -> Result<usize> {
        let parts = match mpz_parts(self.file, h.at, left) {
            Ok(s) => s,
            Err((at, field, what)) => return self.bad(h, at, field, what),
        };
        let size = parts.digits - h.at + parts.len;
        let end = self.pad(h, h.at + size)?;
        if !STRICT {
            return Ok(end);
        }
        let expected = self.file.base + parts.digits as u64;
        let found = self.word(parts.pointer_at);
        if found != expected {
            let what = Violation::BignumPointer { found, expected };
            return self.bad(h, parts.pointer_at, "digits", what);
        }
        let cs = Layout::cs_sz(Kind::Mpz, size as u64);
        self.expect(h, h.at + 4, "m_cs_sz", h.cs.into(), cs.into())?;
        self.expect(h, h.at + 6, "m_other", h.other.into(), 0)?;
        self.seen.truncated += u32::from(size > usize::from(u16::MAX));
        let digits = &self.data[parts.digits..parts.digits + parts.len];
        let top = digits.len() - parts.digit;
        if digits[top..].iter().all(|&b| b == 0) {
            return self.bad(h, parts.digits + top, "digits", Violation::BignumDigits);
        }
        if fits_box::<W>(digits, parts.negative) {
            return self.bad(h, h.at, "digits", Violation::BignumSmall);
        }
        Ok(end)
    }
}

/// Whether Lean keeps the integer in a boxed scalar: 31 bits and sign on 32-bit machines, 32 on 64-bit.
fn fits_box<const W: usize>(digits: &[u8], negative: bool) -> bool {
    let (low, high) = digits.split_at(digits.len().min(8));
    if high.iter().any(|&b| b != 0) {
        return false;
    }
    let value = low.iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b));
    let limit = if W == 4 { 1 << 30 } else { 1 << 31 };
    value < limit + u64::from(negative)
}

/// Where the parts of a bignum lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MpzParts {
    pub negative: bool,
    /// File offset of the digit pointer.
    pub pointer_at: usize,
    /// File offset and bytes of the digits.
    pub digits: usize,
    pub len: usize,
    /// Bytes of a digit.
    pub digit: usize,
}

/// Reads the struct of the bignum at `at`, which has at most `left` bytes.
pub(crate) fn mpz_parts(
    file: &File<'_>,
    at: usize,
    left: usize,
) -> std::result::Result<MpzParts, (usize, &'static str, Violation)> {
    let (w, bytes, layout) = (file.width.bytes(), file.bytes, file.layout());
    let body = at + OBJECT_HEADER;
    let (struct_size, digit) = (layout.fixed(Kind::Mpz), layout.digit());
    if left < struct_size {
        return Err((at, "", Violation::PastEnd));
    }
    let (negative, n, size_at) = match file.bignums {
        Bignums::Gmp => {
            let int = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
            let (alloc, size) = (int(body), int(body + 4));
            let n = u64::from(size.unsigned_abs());
            if i64::from(alloc) != i64::from(size).abs() {
                let what = Violation::Expected {
                    found: u64::from(alloc as u32),
                    expected: n,
                };
                return Err((body, "_mp_alloc", what));
            }
            (size < 0, n, body + 4)
        }
        Bignums::Native => {
            let sign = bytes[body];
            if sign > 1 || bytes[body + 1..body + w].iter().any(|&b| b != 0) {
                return Err((body, "m_sign", Violation::BignumSign(sign)));
            }
            (sign == 1, word(bytes, body + w, file.width), body + w)
        }
    };
    if n == 0 {
        return Err((size_at, "size", Violation::BignumDigits));
    }
    let room = left - struct_size;
    if n > (room / digit) as u64 {
        return Err((
            size_at,
            "size",
            Violation::DoesNotFit {
                claimed: n,
                left: room as u64,
            },
        ));
    }
    let digits = at + struct_size;
    Ok(MpzParts {
        negative,
        pointer_at: at + layout.digit_pointer(),
        digits,
        len: n as usize * digit,
        digit,
    })
}

#[cfg(test)]
mod tests;
