//! The code addresses of closures rewritten for where their libraries lie now. A file of version 3 lists where its
//! closures are, and only those places are visited, so that other pages of the mapping stay untouched; a page is
//! written, and so made private to the process, only when an address on it changes.
#![forbid(unsafe_code)]

use std::ops::Range;

use thiserror::Error;

use olean_reader::format::object::{CLOSURE_HEADER, Kind, Layout, TAG_CLOSURE};
use olean_reader::format::trailer::{DATA_OFFSET, Trailer};

/// The smallest page of the machines that Lean runs on; libraries are loaded at whole pages.
const MIN_PAGE: u64 = 4096;

/// Where the functions of one saved library are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeMove {
    /// The library's base in the process that saved; what the file's library table says.
    pub saved_base: u64,
    /// Its base now.
    pub base: u64,
    /// Its executable segments now.
    pub code: Vec<Range<u64>>,
}

impl CodeMove {
    /// A library that is nowhere now: its closures get no code, so that calling one ends at the address 0.
    #[must_use]
    pub fn gone(saved_base: u64) -> Self {
        CodeMove {
            saved_base,
            base: 0,
            code: Vec::new(),
        }
    }

    fn is_gone(&self) -> bool {
        self.base == 0 && self.code.is_empty()
    }
}

/// Why the closures of a file cannot be used. Offsets are file offsets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClosureError {
    /// An entry of the offset list is not the `m_fun` field of a closure.
    #[error(
        "at file offset {at:#x}: closure offset {offset:#x} is not the code address of a closure: {reason}"
    )]
    NotAClosure {
        /// Where the entry stands.
        at: u64,
        /// The entry.
        offset: u64,
        /// What was found instead.
        reason: &'static str,
    },
    /// A closure is listed twice.
    #[error("closure offset {0:#x} is listed twice")]
    Twice(u64),
    /// A code address lies below every saved library.
    #[error(
        "at file offset {at:#x}: closure code {function:#x} lies below every library that the file lists"
    )]
    NoLibrary {
        /// Where the code address stands.
        at: u64,
        /// The code address as saved.
        function: u64,
    },
    /// A code address would lead to something that is no code.
    #[error(
        "at file offset {at:#x}: closure code {function:#x}, at {now:#x} in this process, is not code of its library"
    )]
    NotCode {
        /// Where the code address stands.
        at: u64,
        /// The code address as saved.
        function: u64,
        /// The same in this process.
        now: u64,
    },
    /// A base address that no library can have had.
    #[error("a library of the file has the base address {0:#x}, which is not the start of a page")]
    Base(u64),
    /// Two libraries of the table have one base address, so that no function can be assigned.
    #[error("two libraries of the file have the base address {0:#x}")]
    SameBase(u64),
}

/// Rewrites the code address of every closure listed in `trailer`. `data` is the data section of the file, which
/// begins at file offset [`DATA_OFFSET`]; `moves` has an entry for each library of the table, in any order.
///
/// Every listed place is checked to be the `m_fun` field of a closure that lies in `data`, and every address to
/// be code of the library it belongs to, also when nothing has moved.
///
/// # Errors
/// See [`ClosureError`]; everything is checked before anything is written. Only closures that overlap, which no
/// writer leaves, can be found out later, with `data` half rewritten.
pub fn relocate(data: &mut [u8], trailer: &Trailer<'_>, moves: &[CodeMove]) -> Result<(), ClosureError> {
    let mut moves: Vec<&CodeMove> = moves.iter().collect();
    moves.sort_unstable_by_key(|m| m.saved_base);
    if let Some(pair) = moves.windows(2).find(|w| w[0].saved_base == w[1].saved_base) {
        return Err(ClosureError::SameBase(pair[0].saved_base));
    }
    if let Some(odd) = moves.iter().find(|m| !m.saved_base.is_multiple_of(MIN_PAGE)) {
        return Err(ClosureError::Base(odd.saved_base));
    }
    refuse_repeats(trailer)?;
    rewrite::<false>(data, trailer, &moves)?;
    rewrite::<true>(data, trailer, &moves)
}

/// Checks every listed place; writes the address of this process there if `WRITE`.
fn rewrite<const WRITE: bool>(
    data: &mut [u8],
    trailer: &Trailer<'_>,
    moves: &[&CodeMove],
) -> Result<(), ClosureError> {
    for (index, offset) in trailer.closures().enumerate() {
        let field = code_field(data, offset).map_err(|reason| ClosureError::NotAClosure {
            at: trailer.closure_at(index),
            offset,
            reason,
        })?;
        let at = DATA_OFFSET + offset;
        let function = u64::from_le_bytes(*field);
        let library = moves.partition_point(|m| m.saved_base <= function).checked_sub(1);
        let library = moves[library.ok_or(ClosureError::NoLibrary { at, function })?];
        let now = match library.is_gone() {
            true => 0,
            false => function
                .wrapping_sub(library.saved_base)
                .wrapping_add(library.base),
        };
        if !library.is_gone() && !library.code.iter().any(|segment| segment.contains(&now)) {
            return Err(ClosureError::NotCode { at, function, now });
        }
        if WRITE && now != function {
            *field = now.to_le_bytes();
        }
    }
    Ok(())
}

/// A closure listed twice would be moved twice. Compaction lists them in ascending order; another order costs a
/// sorted copy.
fn refuse_repeats(trailer: &Trailer<'_>) -> Result<(), ClosureError> {
    if trailer.closures().is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    let mut sorted: Vec<u64> = trailer.closures().collect();
    sorted.sort_unstable();
    let repeated = sorted.windows(2).find(|w| w[0] == w[1]);
    repeated.map_or(Ok(()), |w| Err(ClosureError::Twice(w[0])))
}

/// The `m_fun` field at `offset` of the data, after a look at the object around it: as far as one can tell without
/// a walk over all objects, it is a closure and ends inside the data.
fn code_field(data: &mut [u8], offset: u64) -> Result<&mut [u8; 8], &'static str> {
    if !offset.is_multiple_of(8) {
        return Err("it is not aligned");
    }
    let outside = "it does not lie in the data";
    // The root slot comes first, then the first object's header.
    let object = usize::try_from(offset).ok().filter(|o| *o >= 16).ok_or(outside)? - 8;
    let object = data.get_mut(object..).ok_or(outside)?;
    let size_left = object.len();
    let head = object.first_chunk_mut::<CLOSURE_HEADER>().ok_or(outside)?;
    let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let (cs_sz, arity, fixed) = (half(4), half(16), half(18));
    if head[..4] != [0; 4] || head[6] != 0 || head[7] != TAG_CLOSURE {
        return Err("the object there is no closure");
    }
    let size = CLOSURE_HEADER + 8 * usize::from(fixed);
    if fixed >= arity || cs_sz != Layout::cs_sz(Kind::Closure, size as u64) {
        return Err("its arity, arguments and size do not go together");
    }
    if size > size_left {
        return Err("its arguments reach beyond the data");
    }
    head[8..].first_chunk_mut().ok_or(outside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use olean_reader::format::trailer::{NewTrailer, SavedLibrary};

    /// A closure with `fixed` arguments.
    fn closure(function: u64, arity: u16, fixed: u16) -> Vec<u8> {
        let mut out = vec![0; 24 + 8 * usize::from(fixed)];
        let size = out.len() as u16;
        out[4..6].copy_from_slice(&size.to_le_bytes());
        out[7] = TAG_CLOSURE;
        out[8..16].copy_from_slice(&function.to_le_bytes());
        out[16..18].copy_from_slice(&arity.to_le_bytes());
        out[18..20].copy_from_slice(&fixed.to_le_bytes());
        out
    }

    /// A root slot and three closures: of library 0x10000, of 0x50000 and of 0x10000 again.
    fn data() -> (Vec<u8>, [u64; 3]) {
        let mut data = vec![0; 8];
        let mut offsets = [0; 3];
        for (i, (function, arity, fixed)) in [(0x10100, 2, 1), (0x50200, 3, 0), (0x10300, 9, 2)]
            .into_iter()
            .enumerate()
        {
            offsets[i] = data.len() as u64 + 8;
            data.extend(closure(function, arity, fixed));
        }
        (data, offsets)
    }

    fn moves() -> Vec<CodeMove> {
        vec![
            CodeMove {
                saved_base: 0x50000,
                base: 0x20000,
                code: std::iter::once(0x20000..0x21000).collect(),
            },
            CodeMove {
                saved_base: 0x10000,
                base: 0x90000,
                code: vec![0x90080..0x90200, 0x90280..0x90400],
            },
        ]
    }

    fn run(data: &mut [u8], offsets: &[u64], moves: &[CodeMove]) -> Result<(), ClosureError> {
        let library = SavedLibrary { base: 0, id: b"" };
        let new = NewTrailer {
            closures: offsets,
            libraries: &[library],
        };
        let bytes = new.encode().unwrap().unwrap();
        relocate(data, &Trailer::parse(&bytes, 5000).unwrap(), moves)
    }

    fn functions(data: &[u8], offsets: [u64; 3]) -> [u64; 3] {
        offsets.map(|o| u64::from_le_bytes(data[o as usize..][..8].try_into().unwrap()))
    }

    #[test]
    fn every_function_moves_with_its_library_and_nothing_else_changes() {
        let (mut data, offsets) = data();
        let before = data.clone();
        run(&mut data, &offsets, &moves()).unwrap();
        assert_eq!(functions(&data, offsets), [0x90100, 0x20200, 0x90300]);
        for offset in offsets {
            let range = offset as usize..offset as usize + 8;
            data[range.clone()].copy_from_slice(&before[range]);
        }
        assert_eq!(data, before);
    }

    #[test]
    fn the_order_of_offsets_does_not_matter_but_repeats_do() {
        let (mut data, [a, b, c]) = data();
        assert_eq!(
            run(&mut data.clone(), &[c, a, b, a], &moves()),
            Err(ClosureError::Twice(a))
        );
        run(&mut data, &[c, a, b], &moves()).unwrap();
        assert_eq!(functions(&data, [a, b, c]), [0x90100, 0x20200, 0x90300]);
    }

    #[test]
    fn offsets_beside_a_closure_are_refused() {
        let (data, [a, _, c]) = data();
        let end = data.len() as u64;
        let forged = [
            0,
            8,
            a - 8,
            a + 8,
            a + 4,
            a + 1,
            c + 24,
            end - 8,
            end,
            end + 8,
            1 << 63,
            u64::MAX - 7,
            u64::MAX,
        ];
        for offset in forged {
            let result = run(&mut data.clone(), &[offset], &moves());
            let refused =
                matches!(result, Err(ClosureError::NotAClosure { at: 5004, offset: o, .. }) if o == offset);
            assert!(refused, "{offset:#x}: {result:?}");
        }
    }

    #[test]
    fn closures_that_contradict_themselves_are_refused() {
        let (data, offsets) = data();
        let last = offsets[2] as usize;
        // Reference count, size, other, tag, arity 2 for 2 arguments, arguments beyond the end.
        for (at, value) in [
            (last - 8, 1u8),
            (last - 4, 1),
            (last - 2, 1),
            (last - 1, 246),
            (last + 8, 2),
            (last + 10, 8),
        ] {
            let mut altered = data.clone();
            altered[at] = value;
            let result = run(&mut altered, &offsets, &moves());
            assert!(
                matches!(result, Err(ClosureError::NotAClosure { at: 5020, .. })),
                "{at}: {result:?}"
            );
        }
        let mut long = data.clone();
        let size = 24 + 8 * 8u16;
        long[last + 10] = 8;
        long[last - 4..last - 2].copy_from_slice(&size.to_le_bytes());
        let reason = "its arguments reach beyond the data";
        let expected = ClosureError::NotAClosure {
            at: 5020,
            offset: offsets[2],
            reason,
        };
        assert_eq!(run(&mut long, &offsets, &moves()), Err(expected));
    }

    #[test]
    fn code_outside_its_library_is_refused_even_where_nothing_moved() {
        let (mut data, offsets) = data();
        let at = DATA_OFFSET + offsets[0];
        data[offsets[0] as usize..][..8].copy_from_slice(&0x10240u64.to_le_bytes());
        let gap = ClosureError::NotCode {
            at,
            function: 0x10240,
            now: 0x90240,
        };
        assert_eq!(run(&mut data.clone(), &offsets, &moves()), Err(gap));
        let mut still = moves();
        still[1].base = 0x10000;
        still[1].code = std::iter::once(0x10000..0x10100).collect();
        let end = ClosureError::NotCode {
            at,
            function: 0x10240,
            now: 0x10240,
        };
        assert_eq!(run(&mut data.clone(), &offsets, &still), Err(end));
        data[offsets[0] as usize..][..8].copy_from_slice(&0xffffu64.to_le_bytes());
        let below = ClosureError::NoLibrary { at, function: 0xffff };
        assert_eq!(run(&mut data, &offsets, &moves()), Err(below));
    }

    #[test]
    fn the_address_0_is_for_closures_of_libraries_that_are_gone() {
        let (mut data, offsets) = data();
        data[offsets[1] as usize..][..8].copy_from_slice(&0x50000u64.to_le_bytes());
        // A program that is not moved lies at the base 0, and has no code there.
        let mut moves = moves();
        moves[0].base = 0;
        moves[0].code = std::iter::once(0x100..0x1000).collect();
        let refused = ClosureError::NotCode {
            at: DATA_OFFSET + offsets[1],
            function: 0x50000,
            now: 0,
        };
        assert_eq!(run(&mut data.clone(), &offsets, &moves), Err(refused));
        moves[0] = CodeMove::gone(0x50000);
        run(&mut data, &offsets, &moves).unwrap();
        assert_eq!(functions(&data, offsets), [0x90100, 0, 0x90300]);
    }

    #[test]
    fn two_libraries_at_one_base_or_one_inside_a_page_are_refused() {
        let (mut data, offsets) = data();
        let mut moves = moves();
        moves[0].saved_base = 0x50100;
        assert_eq!(run(&mut data, &offsets, &moves), Err(ClosureError::Base(0x50100)));
        moves[0].saved_base = 0x10000;
        assert_eq!(
            run(&mut data, &offsets, &moves),
            Err(ClosureError::SameBase(0x10000))
        );
    }
}
