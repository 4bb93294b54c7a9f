//! AArch64 instructions copied to another address (Arm ARM, C4.1 "A64 instruction set encoding"). Only
//! branches, `adr`, `adrp` and literal loads depend on where they stand; every other allocated encoding is
//! copied as it is. Pure: compiled and tested on every architecture.

use super::encode_aarch64::{byte_distance, word_distance};
use super::trampoline::CannotMove;

/// What the position of an instruction means for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Nothing: copied as it is.
    Plain,
    /// `b`.
    Jump { to: usize },
    /// `b.cond`, `cbz`, `cbnz`, `tbz`, `tbnz`, with the word that branches on the opposite condition to
    /// two instructions further on.
    Conditional { to: usize, skip: u32 },
    /// `bl`, `blr`.
    Call,
    /// `adr` and `adrp`: the address goes to a register.
    Address { register: u32, value: usize },
    /// `ret`, `br`: control does not come back.
    Leaves,
    /// Anything else that depends on its place, or is not allocated.
    Unknown,
}

fn kind(word: u32, at: usize) -> Kind {
    let to = |low, bits| at.wrapping_add_signed(byte_distance(word, low, bits));
    // One instruction further than the next: the distance field is 2.
    let skip_two = |low: u32, bits: u32| word & !(((1 << bits) - 1) << low) | 2 << low;
    match word {
        w if w >> 26 == 0b00_0101 => Kind::Jump { to: to(0, 26) },
        w if w >> 26 == 0b10_0101 => Kind::Call,
        // b.cond; the conditions "always" (14, 15) have no opposite.
        w if w >> 24 == 0x54 && w & 0x10 == 0 && w & 15 < 14 => Kind::Conditional {
            to: to(5, 19),
            skip: skip_two(5, 19) ^ 1,
        },
        w if w >> 25 & 0x3f == 0b01_1010 => Kind::Conditional {
            to: to(5, 19),
            skip: skip_two(5, 19) ^ 1 << 24,
        },
        w if w >> 25 & 0x3f == 0b01_1011 => Kind::Conditional {
            to: to(5, 14),
            skip: skip_two(5, 14) ^ 1 << 24,
        },
        w if w >> 24 & 0x1f == 0b1_0000 => {
            let high = byte_distance(w, 5, 19);
            let low = (w >> 29 & 3) as isize;
            let value = match w >> 31 {
                0 => at.wrapping_add_signed(high | low),
                _ => (at & !0xfff).wrapping_add_signed((high | low) << 12),
            };
            Kind::Address {
                register: w & 31,
                value,
            }
        }
        // Unconditional branch (register): br, ret and the authenticated forms; blr with bit 21.
        w if w >> 25 == 0b110_1011 => match w >> 21 & 0xf {
            0b0000 | 0b0010 | 0b1000 => Kind::Leaves,
            0b0001 | 0b1001 => Kind::Call,
            _ => Kind::Unknown,
        },
        // Hints (nop, bti, paciasp), barriers, mrs and msr.
        w if w >> 22 == 0b11_0101_0100 => Kind::Plain,
        // The rest of branches, exceptions and system instructions.
        w if w >> 26 & 7 == 0b101 => Kind::Unknown,
        // Literal loads: bits 29..27 = 011, 25..24 = 00.
        w if w >> 27 & 7 == 0b011 && w >> 24 & 3 == 0 => Kind::Unknown,
        // Top-level groups (bits 28..25): reserved, unallocated, SVE; then the four that are plain.
        w => match w >> 25 & 15 {
            0b0000..=0b0011 => Kind::Unknown,
            _ => Kind::Plain,
        },
    }
}

/// The code to put at `at`: the first instructions of the function `code` (all its bytes, entry at
/// `entry`), as many as the first `overwritten` bytes touch, and a jump to what follows them.
///
/// # Errors
/// [`CannotMove`] says what stands against it.
pub(super) fn trampoline(
    code: &[u8],
    entry: usize,
    overwritten: usize,
    at: usize,
) -> Result<Vec<u8>, CannotMove> {
    let words: Vec<u32> = code
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&w| u32::from_le_bytes(w))
        .collect();
    let moved = overwritten.div_ceil(4);
    for (index, &word) in words.iter().enumerate() {
        let from = index * 4;
        if let Kind::Jump { to } | Kind::Conditional { to, .. } = kind(word, entry + from) {
            let to = to.wrapping_sub(entry);
            if to < overwritten {
                return Err(CannotMove::BranchBack { from, to });
            }
        }
    }
    let mut out = Vec::new();
    let mut leaves = false;
    for (index, &word) in words.iter().take(moved).enumerate() {
        let offset = index * 4;
        let kind = kind(word, entry + offset);
        leaves = matches!(kind, Kind::Jump { .. } | Kind::Leaves);
        match kind {
            Kind::Plain | Kind::Leaves => out.push(word),
            Kind::Jump { to } => push_jump(&mut out, at, to)?,
            Kind::Conditional { to, skip } => {
                out.push(skip);
                push_jump(&mut out, at, to)?;
            }
            Kind::Address { register, value } => out.extend(load_constant(register, value as u64)),
            Kind::Call => return Err(CannotMove::Call(offset)),
            Kind::Unknown => return Err(CannotMove::Unknown(offset)),
        }
    }
    if words.len() > moved {
        push_jump(&mut out, at, entry + moved * 4)?;
    } else if !leaves {
        // The whole function is moved; it must not run off its end.
        return Err(CannotMove::TooShort(code.len()));
    }
    Ok(out.iter().flat_map(|w| w.to_le_bytes()).collect())
}

/// Adds a `b` from the end of `out`, which begins at `at`. Only a direct branch will do: there is no
/// register that a function does not use in its middle, and a landing pad is missing there.
fn push_jump(out: &mut Vec<u32>, at: usize, to: usize) -> Result<(), CannotMove> {
    let from = at + out.len() * 4;
    let distance = word_distance(from, to, 26)
        .ok_or_else(|| CannotMove::Encode(format!("{to:#x} is out of a branch's reach from {from:#x}")))?;
    out.push(0x1400_0000 | distance);
    Ok(())
}

/// `movz` and three `movk` (C6.2): the whole of a 64-bit value.
fn load_constant(register: u32, value: u64) -> [u32; 4] {
    std::array::from_fn(|quarter| {
        let opcode = if quarter == 0 { 0xd280_0000 } else { 0xf280_0000 };
        let half = (value >> (16 * quarter)) as u32 & 0xffff;
        opcode | (quarter as u32) << 21 | half << 5 | register
    })
}
