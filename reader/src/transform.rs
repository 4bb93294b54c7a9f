//! A file rewritten: for the other pointer width, another bignum layout or another base address. Objects
//! keep their order and everything the graph hashes see.
//!
//! A file says nothing about types, so three things stay as they are although Lean would store them
//! otherwise on a machine of the other width: negative `Int`s and `UInt32`s in boxed scalars, `USize` fields
//! in scalar areas that hold more than that one field, and bignums in [2^31, 2^63), which a 64-bit Lean
//! would box if they are `Nat`s. Narrowing makes such bignums of large boxed numbers where shapes tell that they are
//! `Nat`s (`nats`), each right before the first object that holds it. The scalar area of a constructor keeps
//! its length to the byte, so `m_cs_sz` need not be a multiple of the word size after widening; narrowing is the
//! exact inverse.

mod error;

pub use error::{TransformError, Where};

use super::deps::Deps;
use super::graph::{bignum, closure, sarray_bytes, scalar_area, string_bytes};
use super::nats::Nats;
use super::parse::HEADER_FIXED;
use super::region::Region;
use super::space::{Hit, Space};
use super::walk::{Object, mpz_parts};
use crate::format::base::BASE_ALIGN;
use crate::format::object::{Bignums, Kind, Layout, OBJECT_HEADER, ObjectHeader, TAG_MPZ};
use crate::format::trailer::EXTENSION_MAGIC;
use crate::format::word::{Width, word};
use std::collections::HashMap;

/// What to make of a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rewritten<'t> {
    /// Pointer width; that of the file without it.
    pub width: Option<Width>,
    /// Bignum layout; that of the file without it.
    pub bignums: Option<Bignums>,
    /// Base address; without it that of the file, of which narrowing keeps the low 32 bits.
    pub base: Option<u64>,
    /// Base addresses of the dependencies in the order they are given, as for `base`; may be shorter.
    pub dep_bases: &'t [Option<u64>],
}

type Result<T> = std::result::Result<T, TransformError>;

/// A 32-bit file as a 64-bit one. See [`rewrite`].
///
/// # Errors
/// As [`rewrite`].
pub fn widen(region: &Region<'_>, deps: &[&Region<'_>]) -> Result<Vec<u8>> {
    rewrite(
        region,
        deps,
        &Rewritten {
            width: Some(Width::W64),
            ..Rewritten::default()
        },
    )
}

/// A 64-bit file as a 32-bit one. See [`rewrite`].
///
/// # Errors
/// As [`rewrite`].
pub fn narrow(region: &Region<'_>, deps: &[&Region<'_>]) -> Result<Vec<u8>> {
    rewrite(
        region,
        deps,
        &Rewritten {
            width: Some(Width::W32),
            ..Rewritten::default()
        },
    )
}

/// The file for another base address; nothing but pointers and header changes.
///
/// # Errors
/// As [`rewrite`].
pub fn relocate(region: &Region<'_>, base: u64) -> Result<Vec<u8>> {
    rewrite(
        region,
        &[],
        &Rewritten {
            base: Some(base),
            ..Rewritten::default()
        },
    )
}

/// The file as `target` wants it. `region` was proved with these `deps`. Dependencies are only needed to
/// know where their objects will lie: when the width or the bignum layout changes, or `dep_bases` moves them.
/// Each then has to be rewritten with the same target and the base address named here.
///
/// # Errors
/// A value does not fit, or the result would not fit the address space.
pub fn rewrite(region: &Region<'_>, deps: &[&Region<'_>], target: &Rewritten<'_>) -> Result<Vec<u8>> {
    Deps::walked(deps)?.fit(&region.file)?;
    let mut all = vec![region];
    all.extend(deps);
    let from = &region.file;
    let layout = Layout::new(
        target.width.unwrap_or(from.width),
        target.bignums.unwrap_or(from.bignums),
    );
    let same = layout == from.layout();
    let space = Space::new(all)?;
    let mut plans = Vec::with_capacity(space.regions.len());
    for (i, r) in space.regions.iter().enumerate() {
        let base = if i == 0 {
            target.base
        } else {
            target.dep_bases.get(i - 1).copied().flatten()
        };
        let base = base.unwrap_or(r.file.base & layout.width.max());
        if base % BASE_ALIGN != 0 {
            return Err(TransformError::Unaligned(base));
        }
        plans.push(if same {
            Plan {
                base,
                offsets: None,
                nats: HashMap::new(),
                end: r.file.objects.end,
            }
        } else {
            plan(layout, &space, i, base)
        });
    }
    let mut out = Writer {
        space: &space,
        plans: &plans,
        layout,
        large: (!plans[0].nats.is_empty()).then(|| Nats::of(&space, 0)),
        bytes: Vec::with_capacity(from.bytes.len()),
    };
    if same {
        out.patch()?
    } else {
        out.build()?
    }
    let (bytes, base) = (out.bytes, plans[0].base);
    if u128::from(base) + bytes.len() as u128 > u128::from(layout.width.max()) + 1 {
        return Err(TransformError::AddressSpace {
            base,
            size: bytes.len() as u64,
            bits: layout.width.bits(),
        });
    }
    Ok(bytes)
}

/// How many bytes [`rewrite`] makes of each of some files that may point into each other; `target` says width and
/// layout of bignums.
///
/// # Errors
/// There are too many objects.
pub fn sizes(regions: &[&Region<'_>], target: &Rewritten<'_>) -> Result<Vec<u64>> {
    let space = Space::new(regions.to_vec())?;
    let size = |(i, region): (usize, &&Region<'_>)| {
        let file = &region.file;
        let layout = Layout::new(
            target.width.unwrap_or(file.width),
            target.bignums.unwrap_or(file.bignums),
        );
        let w = layout.width.bytes();
        let mut end = plan(layout, &space, i, 0).end + if file.root_first() { 0 } else { w };
        if let Some(s) = &file.sections {
            let libraries: usize = s.libraries.iter().map(|l| w + 4 + l.id.len()).sum();
            end += 4 + s.closures.len() + 4 + libraries + s.extension.map_or(0, |payload| 16 + payload.len());
        }
        end as u64
    };
    Ok(regions.iter().enumerate().map(size).collect())
}

/// Where the objects of a region go.
struct Plan {
    base: u64,
    /// New file offset by object number, [`BOXED`] for bignums that become scalars; `None` when all stay.
    offsets: Option<Vec<usize>>,
    /// New file offset of the bignum for each natural number that was boxed and is too large for that.
    nats: HashMap<u64, usize>,
    /// New file offset behind the objects.
    end: usize,
}

/// Stands for the offset of an object that is not written.
const BOXED: usize = usize::MAX;

/// Where the objects of a region go in a file of this layout at `base`.
fn plan(layout: Layout, space: &Space<'_, '_>, region: usize, base: u64) -> Plan {
    let (r, w) = (space.regions[region], layout.width.bytes());
    let mut at = data_start(layout, r) + if r.file.root_first() { w } else { 0 };
    let mut offsets = Vec::with_capacity(r.summary.objects as usize);
    let large = (layout.width == Width::W32).then(|| Nats::of(space, region));
    let mut nats = HashMap::new();
    for o in r.objects() {
        if boxed(layout, r, &o).is_some() {
            offsets.push(BOXED);
            continue;
        }
        for value in large
            .iter()
            .flat_map(|l| (0..o.count).filter_map(|i| l.large(&o, i)))
        {
            nats.entry(value).or_insert_with(|| {
                let offset = at;
                at += bignum_size(layout, number(value, &mut [0; 8]).len()).next_multiple_of(w);
                offset
            });
        }
        offsets.push(at);
        at += size(layout, r, &o).next_multiple_of(w);
    }
    Plan {
        base,
        offsets: Some(offsets),
        nats,
        end: at,
    }
}

/// Bytes of a bignum whose magnitude has so many.
fn bignum_size(layout: Layout, magnitude: usize) -> usize {
    layout.fixed(Kind::Mpz) + magnitude.next_multiple_of(layout.digit())
}

/// The bytes of a number, the lowest first, without leading zeros.
fn number(value: u64, bytes: &mut [u8; 8]) -> &[u8] {
    *bytes = value.to_le_bytes();
    &bytes[..8 - value.leading_zeros() as usize / 8]
}

fn data_start(layout: Layout, r: &Region<'_>) -> usize {
    HEADER_FIXED + layout.width.bytes() * if r.file.version == 3 { 2 } else { 1 }
}

/// The scalar in place of a bignum that fits in one on a 64-bit machine.
fn boxed(layout: Layout, r: &Region<'_>, o: &Object) -> Option<u64> {
    if o.kind != Kind::Mpz || layout.width == Width::W32 {
        return None;
    }
    let v = bignum(r, o);
    if v.magnitude.len() > 4 {
        return None;
    }
    let m = v.magnitude.iter().rev().fold(0u64, |m, &b| m << 8 | u64::from(b));
    // Lean keeps 32 bits of an `Int` in a scalar.
    match v.negative {
        false => (m < 1 << 31).then_some(m),
        true => (m <= 1 << 31).then(|| (1 << 32) - m),
    }
}

/// Bytes of an object in this layout, without padding.
fn size(layout: Layout, r: &Region<'_>, o: &Object) -> usize {
    let varying = match o.kind {
        Kind::Ctor => layout.width.bytes() * o.count + scalar_area(r, o).len(),
        Kind::Array | Kind::Closure => layout.width.bytes() * o.count,
        Kind::Sarray => sarray_bytes(r, o).1.len(),
        Kind::String => string_bytes(r, o).len() + 1,
        Kind::Mpz => bignum(r, o).magnitude.len().next_multiple_of(layout.digit()),
        Kind::Thunk | Kind::Task | Kind::Ref | Kind::Promise => 0,
    };
    layout.fixed(o.kind) + varying
}

struct Writer<'s, 'r, 'a> {
    space: &'s Space<'r, 'a>,
    plans: &'s [Plan],
    layout: Layout,
    /// Which numbers become bignums, if any does.
    large: Option<Nats<'s, 'r, 'a>>,
    bytes: Vec<u8>,
}

impl Writer<'_, '_, '_> {
    fn main(&self) -> &Region<'_> {
        self.space.regions[0]
    }

    fn word(&mut self, v: u64) {
        self.bytes
            .extend_from_slice(&v.to_le_bytes()[..self.layout.width.bytes()]);
    }

    fn put(&mut self, at: usize, v: u64) {
        let w = self.layout.width.bytes();
        self.bytes[at..at + w].copy_from_slice(&v.to_le_bytes()[..w]);
    }

    /// What becomes of a pointer or boxed scalar `p` of the main file.
    fn value(&self, p: u64, holder: Option<&Object>) -> Result<u64> {
        let object = || Where(holder.map(Object::reference));
        let scalar = |value: u64| match value >> (self.layout.width.bits() - 1) {
            0 => Ok(value << 1 | 1),
            _ => Err(TransformError::Scalar {
                object: object(),
                value,
            }),
        };
        let n = match self.space.hit(0, p) {
            Hit::Scalar(v) => return scalar(v),
            Hit::Object(n) => n,
            // Pointers of a proved region hit an object or leave all files that are given here.
            Hit::Outside | Hit::Inside if self.plans[0].offsets.is_none() => return Ok(p),
            Hit::Outside | Hit::Inside => {
                return Err(TransformError::Outside {
                    object: object(),
                    address: p,
                });
            }
        };
        let i = self.space.region_of(n);
        let plan = &self.plans[i];
        let (r, o) = self.space.object(n);
        let offset = plan
            .offsets
            .as_ref()
            .map_or(o.at, |offsets| offsets[o.index as usize]);
        if offset == BOXED {
            return scalar(boxed(self.layout, r, &o).expect("planned as a scalar"));
        }
        self.address(plan, offset)
    }

    /// Where a file offset of a region will lie.
    fn address(&self, plan: &Plan, offset: usize) -> Result<u64> {
        let address = plan.base.checked_add(offset as u64);
        address
            .filter(|&a| a <= self.layout.width.max())
            .ok_or(TransformError::AddressSpace {
                base: plan.base,
                size: plan.end as u64,
                bits: self.layout.width.bits(),
            })
    }

    fn field(&self, o: &Object, i: usize) -> Result<u64> {
        let f = &self.main().file;
        if let Some(value) = self.large.as_ref().and_then(|large| large.large(o, i)) {
            return self.address(&self.plans[0], self.plans[0].nats[&value]);
        }
        let p = word(f.bytes, o.fields + i * f.width.bytes(), f.width);
        self.value(p, Some(o))
    }

    /// Same width and layout: the bytes as they are, with new pointers.
    fn patch(&mut self) -> Result<()> {
        let space = self.space;
        let r = space.regions[0];
        let base = self.plans[0].base;
        self.bytes.extend_from_slice(r.file.bytes);
        self.put(HEADER_FIXED, base);
        let root = self.value(r.file.root, None)?;
        self.put(r.file.root_at, root);
        let w = self.layout.width.bytes();
        for o in r.objects() {
            if o.kind == Kind::Mpz {
                let parts = mpz_parts(&r.file, o.at, r.file.objects.end - o.at);
                let parts = parts.expect("the bignum was proved");
                self.put(parts.pointer_at, base.wrapping_add(parts.digits as u64));
            }
            for i in 0..o.count {
                let v = self.field(&o, i)?;
                self.put(o.fields + i * w, v);
            }
        }
        Ok(())
    }

    fn build(&mut self) -> Result<()> {
        let space = self.space;
        let r = space.regions[0];
        let plan = &self.plans[0];
        self.bytes.extend_from_slice(&r.file.bytes[..HEADER_FIXED]);
        self.bytes[6] = u8::from(self.layout.bignums == Bignums::Gmp);
        self.word(plan.base);
        let w = self.layout.width.bytes();
        let root = self.value(r.file.root, None)?;
        if r.file.version == 3 {
            self.word(
                (plan.end - data_start(self.layout, r) + if r.file.root_first() { 0 } else { w }) as u64,
            );
        }
        if r.file.root_first() {
            self.word(root);
        }
        for o in r.objects() {
            for i in 0..o.count {
                let value = self.large.as_ref().and_then(|large| large.large(&o, i));
                // The first object that holds a number has its bignum before it.
                if let Some(value) = value.filter(|value| plan.nats[value] == self.bytes.len()) {
                    self.unboxed(value);
                    self.bytes.resize(self.bytes.len().next_multiple_of(w), 0);
                }
            }
            if boxed(self.layout, r, &o).is_none() {
                self.object(r, &o)?;
                self.bytes.resize(self.bytes.len().next_multiple_of(w), 0);
            }
        }
        debug_assert_eq!(self.bytes.len(), plan.end);
        if !r.file.root_first() {
            self.word(root);
        }
        self.sections()
    }

    fn object(&mut self, r: &Region<'_>, o: &Object) -> Result<()> {
        let w = self.layout.width.bytes();
        let size = size(self.layout, r, o);
        let other = match o.kind {
            Kind::Ctor => o.count as u8,
            Kind::Sarray => sarray_bytes(r, o).0,
            _ => 0,
        };
        // With 32 bits the size field says how long a closure is; with 64 its arguments do.
        let told_by_size = o.kind == Kind::Closure && self.layout.width == Width::W32;
        if told_by_size && size > usize::from(u16::MAX) {
            return Err(TransformError::Closure(o.reference()));
        }
        let header = ObjectHeader {
            cs_sz: Layout::cs_sz(o.kind, size as u64),
            other,
            tag: o.tag,
        };
        self.bytes.extend_from_slice(&header.word().to_le_bytes());
        match o.kind {
            Kind::Array => (0..2).for_each(|_| self.word(o.count as u64)),
            Kind::Closure => {
                let c = closure(r, o);
                self.code(c.function)?;
                self.bytes.extend_from_slice(&c.arity.to_le_bytes());
                self.bytes.extend_from_slice(&c.fixed.to_le_bytes());
                self.bytes.resize(self.bytes.len().next_multiple_of(w), 0);
            }
            Kind::Sarray => {
                let (element, bytes) = sarray_bytes(r, o);
                (0..2).for_each(|_| self.word((bytes.len() / usize::from(element)) as u64));
                self.bytes.extend_from_slice(bytes);
            }
            Kind::String => {
                let text = string_bytes(r, o);
                (0..2).for_each(|_| self.word(text.len() as u64 + 1));
                let length = std::str::from_utf8(text)
                    .expect("the string was proved")
                    .chars()
                    .count();
                self.word(length as u64);
                self.bytes.extend_from_slice(text);
                self.bytes.push(0);
            }
            Kind::Mpz => {
                let v = bignum(r, o);
                self.bignum(v.negative, v.magnitude);
            }
            Kind::Ctor | Kind::Thunk | Kind::Task | Kind::Ref | Kind::Promise => {}
        }
        for i in 0..o.count {
            let v = self.field(o, i)?;
            self.word(v);
        }
        match o.kind {
            Kind::Ctor => self.bytes.extend_from_slice(scalar_area(r, o)),
            Kind::Thunk | Kind::Task => self.word(0),
            _ => {}
        }
        Ok(())
    }

    /// The body of a bignum.
    fn bignum(&mut self, negative: bool, magnitude: &[u8]) {
        let end = self.bytes.len() - OBJECT_HEADER + bignum_size(self.layout, magnitude.len());
        let digits = magnitude.len().div_ceil(self.layout.digit());
        if self.layout.bignums == Bignums::Gmp {
            let n = digits as i32;
            self.bytes.extend_from_slice(&n.to_le_bytes());
            self.bytes
                .extend_from_slice(&if negative { -n } else { n }.to_le_bytes());
        } else {
            self.word(negative.into());
            self.word(digits as u64);
        }
        let behind = (self.bytes.len() + self.layout.width.bytes()) as u64;
        self.word(self.plans[0].base.wrapping_add(behind));
        self.bytes.extend_from_slice(magnitude);
        self.bytes.resize(end, 0);
    }

    /// A bignum for a number that was boxed.
    fn unboxed(&mut self, value: u64) {
        let mut bytes = [0; 8];
        let magnitude = number(value, &mut bytes);
        let size = bignum_size(self.layout, magnitude.len());
        let header = ObjectHeader {
            cs_sz: Layout::cs_sz(Kind::Mpz, size as u64),
            other: 0,
            tag: TAG_MPZ,
        };
        self.bytes.extend_from_slice(&header.word().to_le_bytes());
        self.bignum(false, magnitude);
    }

    fn code(&mut self, address: u64) -> Result<()> {
        if address > self.layout.width.max() {
            return Err(TransformError::Code(address));
        }
        self.word(address);
        Ok(())
    }

    fn sections(&mut self) -> Result<()> {
        let space = self.space;
        let r = space.regions[0];
        let Some(s) = &r.file.sections else { return Ok(()) };
        let data = data_start(self.layout, r) as u64;
        self.bytes
            .extend_from_slice(&(s.closure_offsets().len() as u32).to_le_bytes());
        let offsets = self.plans[0].offsets.as_ref().expect("the layout changes");
        for offset in s.closure_offsets() {
            let at = offset as usize + r.file.data.start - OBJECT_HEADER;
            let n = r.starts.rank_of(at / r.file.width.bytes());
            let new = (offsets[n as usize] + OBJECT_HEADER) as u64 - data;
            self.bytes.extend_from_slice(&new.to_le_bytes());
        }
        self.bytes
            .extend_from_slice(&(s.libraries.len() as u32).to_le_bytes());
        for l in &s.libraries {
            self.code(l.base)?;
            self.bytes.extend_from_slice(&(l.id.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(l.id);
        }
        if let Some(payload) = s.extension {
            self.bytes.extend_from_slice(EXTENSION_MAGIC);
            self.bytes
                .extend_from_slice(&(payload.len() as u64).to_le_bytes());
            self.bytes.extend_from_slice(payload);
        }
        Ok(())
    }
}
