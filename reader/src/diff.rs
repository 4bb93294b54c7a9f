//! What differs between two files: nothing, only bytes, or the value at some path from the root.

use super::error::CheckError;
use super::graph::{Graph, Value};
use super::hash::Digests;
use super::path::Place;
use super::space::NodeId;
use super::types::Type;
use crate::format::object::Kind;
use std::fmt;

/// How two files compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Byte for byte the same.
    Identical,
    /// The same value, by `graphhash`; what makes the bytes differ.
    SameGraph(Vec<Reason>),
    /// Different values.
    Different {
        /// The first path from the root at which they differ; empty for the root itself.
        path: String,
        /// What the first file has there.
        left: String,
        /// What the second file has there.
        right: String,
    },
}

/// What makes the bytes of equal graphs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Pointer width.
    Width,
    /// Format version.
    Version,
    /// Layout of bignums.
    Bignums,
    /// Version of the Lean that wrote it.
    LeanVersion,
    /// Commit of the Lean that wrote it.
    Githash,
    /// Base address.
    Base,
    /// Equal values that are one object in one file and several in the other.
    Sharing,
    /// Objects that the root does not reach.
    Unreachable,
    /// Order of the objects.
    Order,
    /// `m_cs_sz` or padding of objects.
    Padding,
    /// Closure offsets, library table or extension section.
    Sections,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Width => "pointer width",
            Self::Version => "format version",
            Self::Bignums => "bignum layout",
            Self::LeanVersion => "Lean version",
            Self::Githash => "githash",
            Self::Base => "base address",
            Self::Sharing => "sharing",
            Self::Unreachable => "unreachable objects",
            Self::Order => "order of objects",
            Self::Padding => "sizes or padding of objects",
            Self::Sections => "closure offsets, libraries or extension",
        })
    }
}

/// Compares the files of two graphs, and the graphs as far as the given dependencies go; addresses in
/// files that are not given are compared as numbers.
///
/// # Errors
/// A graph has a cycle.
pub fn diff(a: &Graph<'_, '_>, b: &Graph<'_, '_>) -> Result<Difference, CheckError> {
    if a.region(0).file.bytes == b.region(0).file.bytes {
        return Ok(Difference::Identical);
    }
    let (da, db) = (a.digests()?, b.digests()?);
    if da.graphhash == db.graphhash {
        return Ok(Difference::SameGraph(reasons(a, b, &da, &db)));
    }
    Ok(first_difference((a, &da), (b, &db)))
}

type Side<'g, 'r, 'a> = (&'g Graph<'r, 'a>, &'g Digests);

/// Follows the first field that differs until the objects themselves do.
fn first_difference((a, da): Side<'_, '_, '_>, (b, db): Side<'_, '_, '_>) -> Difference {
    let (mut pa, mut pb) = (a.root_place(), b.root_place());
    let mut path = String::new();
    while let Some((na, nb)) = alike(a, pa, b, pb) {
        let (la, lb) = (a.children_len(na), b.children_len(nb));
        let differs = |i: &usize| {
            let digest = |g: &Graph<'_, '_>, d: &Digests, n| g.child(n, *i).map(|v| d.value(v));
            digest(a, da, na) != digest(b, db, nb)
        };
        // A shorter array is compared as far as it goes.
        let Some(i) = (0..la.min(lb)).find(differs) else {
            break;
        };
        let mut other = String::new();
        let steps = (a.step(pa, na, i, &mut path), b.step(pb, nb, i, &mut other));
        let (Some(next_a), Some(next_b)) = steps else {
            break;
        };
        (pa, pb) = (next_a, next_b);
    }
    if let (Type::List(_), Some(n)) = (pa.ty, pa.before) {
        path += &format!("[{n}]");
    }
    let (mut left, mut right) = (a.describe(pa), b.describe(pb));
    if left == right {
        // What tells them apart is beyond the cut of a long text, or in a part that is not shown.
        left += &apart(a, pa);
        right += &apart(b, pb);
    }
    Difference::Different { path, left, right }
}

/// The objects at two places, if their fields can be compared one by one.
fn alike(a: &Graph<'_, '_>, pa: Place, b: &Graph<'_, '_>, pb: Place) -> Option<(NodeId, NodeId)> {
    let (Value::Object(na), Value::Object(nb)) = (pa.value, pb.value) else {
        return None;
    };
    let same = a.kind(na) == b.kind(nb) && a.tag(na) == b.tag(nb);
    let counts = a.kind(na) == Kind::Array || a.children_len(na) == b.children_len(nb);
    // Names are told as a whole.
    let names = a.name(pa.value).is_some() && b.name(pb.value).is_some();
    (same && counts && !names).then_some((na, nb))
}

fn apart(g: &Graph<'_, '_>, p: Place) -> String {
    let Value::Object(n) = p.value else {
        return String::new();
    };
    let scalars = g.scalars(n);
    if !scalars.is_empty() {
        let hex: String = scalars.iter().map(|b| format!("{b:02x}")).collect();
        return format!(", scalars {hex}");
    }
    match g.string(n) {
        Some(s) => format!(" ({} bytes)", s.len()),
        None => String::new(),
    }
}

fn reasons(a: &Graph<'_, '_>, b: &Graph<'_, '_>, da: &Digests, db: &Digests) -> Vec<Reason> {
    let (fa, fb) = (&a.region(0).file, &b.region(0).file);
    let mut reasons = Vec::new();
    let mut add = |differs: bool, reason| {
        if differs {
            reasons.push(reason);
        }
    };
    let same_shape = fa.width == fb.width && fa.bignums == fb.bignums;
    add(fa.width != fb.width, Reason::Width);
    add(fa.version != fb.version, Reason::Version);
    add(fa.bignums != fb.bignums, Reason::Bignums);
    add(fa.lean_version != fb.lean_version, Reason::LeanVersion);
    add(fa.githash != fb.githash, Reason::Githash);
    add(fa.base != fb.base, Reason::Base);
    let same_sharing = da.sharehash == db.sharehash && a.reached.len() == b.reached.len();
    add(!same_sharing, Reason::Sharing);
    add(unreachable(a) != unreachable(b), Reason::Unreachable);
    if same_sharing {
        // Breadth-first numbers pair the objects of both files.
        add(file_order(a) != file_order(b), Reason::Order);
        let differs = |(&x, &y): (&NodeId, &NodeId)| head(a, x) != head(b, y);
        add(
            same_shape && a.reached.iter().zip(&b.reached).any(differs),
            Reason::Padding,
        );
    }
    add(fa.version == fb.version && !same_sections(a, b), Reason::Sections);
    if reasons.is_empty() {
        reasons.push(if same_sharing {
            Reason::Order
        } else {
            Reason::Padding
        });
    }
    reasons
}

fn unreachable(g: &Graph<'_, '_>) -> usize {
    let own = g.reached.iter().filter(|&&n| g.region_of(n) == 0).count();
    g.region(0).summary.objects as usize - own
}

/// Breadth-first numbers of the file's own objects, in file order.
fn file_order(g: &Graph<'_, '_>) -> Vec<u32> {
    let own = g
        .reached
        .iter()
        .zip(0u32..)
        .filter(|(n, _)| g.region_of(**n) == 0);
    let mut order: Vec<(NodeId, u32)> = own.map(|(&n, i)| (n, i)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, i)| i).collect()
}

/// What an object has besides its value: `m_cs_sz`, and the padding of closures.
fn head<'a>(g: &Graph<'_, 'a>, n: NodeId) -> (&'a [u8], &'a [u8]) {
    let raw = g.raw(n);
    let padding = if g.kind(n) == Kind::Closure && g.region(0).file.width.bytes() == 8 {
        20..24
    } else {
        0..0
    };
    (&raw[4..6], &raw[padding])
}

fn same_sections(a: &Graph<'_, '_>, b: &Graph<'_, '_>) -> bool {
    let (Some(x), Some(y)) = (&a.region(0).file.sections, &b.region(0).file.sections) else {
        return true;
    };
    let libraries = |s: &super::file::Sections<'_>| -> Vec<(u64, Vec<u8>)> {
        s.libraries.iter().map(|l| (l.base, l.id.to_vec())).collect()
    };
    x.closures == y.closures && libraries(x) == libraries(y) && x.extension == y.extension
}
