//! AArch64 instructions copied to another address (Arm ARM, C4.1 "A64 instruction set encoding"). Only
//! branches, `adr`, `adrp` and literal loads depend on where they stand; every other allocated encoding is
//! copied as it is. Pure: compiled and tested on every architecture.

use super::encode_aarch64::{byte_distance, word_distance};
use super::trampoline::CannotMove;

/// An instruction by what its place means for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Instruction {
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

fn decode(word: u32, at: usize) -> Instruction {
    let to = |low, bits| at.wrapping_add_signed(byte_distance(word, low, bits));
    // One instruction further than the next: the distance field is 2.
    let skip_two = |low: u32, bits: u32| word & !(((1 << bits) - 1) << low) | 2 << low;
    match word {
        w if w >> 26 == 0b00_0101 => Instruction::Jump { to: to(0, 26) },
        w if w >> 26 == 0b10_0101 => Instruction::Call,
        // b.cond; the conditions "always" (14, 15) have no opposite.
        w if w >> 24 == 0x54 && w & 0x10 == 0 && w & 15 < 14 => Instruction::Conditional {
            to: to(5, 19),
            skip: skip_two(5, 19) ^ 1,
        },
        w if w >> 25 & 0x3f == 0b01_1010 => Instruction::Conditional {
            to: to(5, 19),
            skip: skip_two(5, 19) ^ 1 << 24,
        },
        w if w >> 25 & 0x3f == 0b01_1011 => Instruction::Conditional {
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
            Instruction::Address {
                register: w & 31,
                value,
            }
        }
        // Unconditional branch (register): br, ret and the authenticated forms; blr with bit 21.
        w if w >> 25 == 0b110_1011 => match w >> 21 & 0xf {
            0b0000 | 0b0010 | 0b1000 => Instruction::Leaves,
            0b0001 | 0b1001 => Instruction::Call,
            _ => Instruction::Unknown,
        },
        // Hints (nop, bti, paciasp), barriers, mrs and msr.
        w if w >> 22 == 0b11_0101_0100 => Instruction::Plain,
        // The rest of branches, exceptions and system instructions.
        w if w >> 26 & 7 == 0b101 => Instruction::Unknown,
        // Literal loads: bits 29..27 = 011, 25..24 = 00.
        w if w >> 27 & 7 == 0b011 && w >> 24 & 3 == 0 => Instruction::Unknown,
        // Top-level groups (bits 28..25): reserved, unallocated, SVE; then the four that are plain.
        w => match w >> 25 & 15 {
            0b0000..=0b0011 => Instruction::Unknown,
            _ => Instruction::Plain,
        },
    }
}

/// The code to put at `at`: the first instructions of the function `code` (all its bytes, entry at
/// `entry`), as many as the first `overwritten` bytes touch, and a jump to what follows them.
///
/// # Errors
/// [`CannotMove`] says what stands against it.
pub fn trampoline(code: &[u8], entry: usize, overwritten: usize, at: usize) -> Result<Vec<u8>, CannotMove> {
    let words: Vec<u32> = code
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&w| u32::from_le_bytes(w))
        .collect();
    let moved = overwritten.div_ceil(4);
    for (index, &word) in words.iter().enumerate() {
        let from = index * 4;
        if let Instruction::Jump { to } | Instruction::Conditional { to, .. } = decode(word, entry + from) {
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
        let instruction = decode(word, entry + offset);
        leaves = matches!(instruction, Instruction::Jump { .. } | Instruction::Leaves);
        match instruction {
            Instruction::Plain | Instruction::Leaves => out.push(word),
            Instruction::Jump { to } => push_jump(&mut out, at, to)?,
            Instruction::Conditional { to, skip } => {
                out.push(skip);
                push_jump(&mut out, at, to)?;
            }
            Instruction::Address { register, value } => out.extend(load_constant(register, value as u64)),
            Instruction::Call => return Err(CannotMove::Call(offset)),
            Instruction::Unknown => return Err(CannotMove::Unknown(offset)),
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

#[cfg(test)]
mod tests {
    use super::*;

    // Words by GNU as for armv8.5-a.
    const STP: u32 = 0xa9bf_7bfd; // stp x29, x30, [sp, #-16]!
    const MOV: u32 = 0x9100_03fd; // mov x29, sp
    const SUB: u32 = 0xd101_03ff; // sub sp, sp, #0x40
    const STR: u32 = 0xf900_07f3; // str x19, [sp, #8]
    const RET: u32 = 0xd65f_03c0;

    const ENTRY: usize = 0x7000_0000_0000;
    const AT: usize = 0x7000_0010_0000;

    fn moved(words: &[u32], overwritten: usize) -> Result<Vec<u32>, CannotMove> {
        let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let copy = trampoline(&code, ENTRY, overwritten, AT)?;
        Ok(copy
            .chunks(4)
            .map(|w| u32::from_le_bytes(w.try_into().unwrap()))
            .collect())
    }

    /// `b` from the word at `index` of the copy to an offset in the function.
    fn back(index: usize, offset: usize) -> u32 {
        0x1400_0000 | word_distance(AT + index * 4, ENTRY + offset, 26).unwrap()
    }

    #[test]
    fn plain_instructions_are_copied_and_followed_by_a_jump_back() {
        assert_eq!(
            moved(&[STP, MOV, SUB, STR, RET], 16),
            Ok(vec![STP, MOV, SUB, STR, back(4, 16)])
        );
        assert_eq!(moved(&[STP, MOV], 4), Ok(vec![STP, back(1, 4)]));
        // bti c; paciasp; ldp; fmov; csel; ldapr; movz; mrs
        let plain = [
            0xd503_245f,
            0xd503_233f,
            0xa940_0be1,
            0x9e67_0020,
            0x9a82_0020,
            0xf8bf_c020,
            0xd282_4683,
            0xd53b_d041,
        ];
        for word in plain {
            assert_eq!(moved(&[word, RET], 4), Ok(vec![word, back(1, 4)]), "{word:#x}");
        }
        assert_eq!(moved(&[STP, RET], 8), Ok(vec![STP, RET]), "the whole function");
        assert_eq!(moved(&[RET], 4), Ok(vec![RET]));
    }

    #[test]
    fn addresses_are_loaded_as_constants() {
        // adrp x0, +0x3000 at the second word
        let value = (ENTRY + 0x3000) as u64;
        let copy = moved(&[STP, 0xf000_0000, RET], 8).unwrap();
        assert_eq!(copy[1..5], load_constant(0, value));
        assert_eq!(copy[5], back(5, 8));
        // adr x1, +0x1234; adr x1, -3
        assert_eq!(
            moved(&[0x1000_91a1, RET], 4).unwrap()[..4],
            load_constant(1, (ENTRY + 0x1234) as u64)
        );
        assert_eq!(
            moved(&[0x30ff_ffe1, RET], 4).unwrap()[..4],
            load_constant(1, (ENTRY - 3) as u64)
        );
        // adrp counts from the page of the instruction: adrp x0, -0x1000
        assert_eq!(
            moved(&[0xf0ff_ffe0, RET], 4).unwrap()[..4],
            load_constant(0, (ENTRY - 0x1000) as u64)
        );
        let words = [0xd282_4683, 0xf2aa_cf03, 0xf2d3_5783, 0xf2fb_de03];
        assert_eq!(load_constant(3, 0xdef0_9abc_5678_1234), words);
    }

    #[test]
    fn branches_keep_their_targets() {
        // b +0x100
        assert_eq!(
            moved(&[0x1400_0040, RET], 4),
            Ok(vec![back(0, 0x100), back(1, 4)])
        );
        // b.eq +0x40, cbz x3 +0x20, cbnz w4 +0x24, tbz x5 #40 +0x30: turned round over a `b`.
        let cases = [
            (0x5400_0200, 0x5400_0041, 0x40), // b.ne .+8
            (0xb400_0103, 0xb500_0043, 0x20), // cbnz x3, .+8
            (0x3500_0124, 0x3400_0044, 0x24), // cbz w4, .+8
            (0xb640_0185, 0xb740_0045, 0x30), // tbnz x5, #40, .+8
        ];
        for (word, turned, offset) in cases {
            assert_eq!(
                moved(&[word, RET], 4),
                Ok(vec![turned, back(1, offset), back(2, 4)]),
                "{word:#x}"
            );
        }
    }

    #[test]
    fn what_cannot_be_moved_is_refused() {
        // bl, blr x8
        assert_eq!(moved(&[STP, 0x9400_0400, RET], 8), Err(CannotMove::Call(4)));
        assert_eq!(moved(&[0xd63f_0100, RET], 4), Err(CannotMove::Call(0)));
        // ldr x10 literal, ldr q1 literal, ldrsw literal, svc, brk, udf, b.al
        for word in [
            0x5800_400a,
            0x9c00_4081,
            0x9800_0102,
            0xd400_0001,
            0xd420_0020,
            0,
            0x5400_020e,
        ] {
            assert_eq!(moved(&[word, RET], 4), Err(CannotMove::Unknown(0)), "{word:#x}");
        }
        // tbnz w6, #3, .-0x30 as the 13th word leads to the entry; b.ne .-0x40 before the function.
        let mut words = [STR; 14];
        words[12] = 0x371f_fe86;
        assert_eq!(moved(&words, 4), Err(CannotMove::BranchBack { from: 48, to: 0 }));
        words[12] = 0x54ff_fe01;
        assert!(moved(&words, 4).is_ok());
        assert_eq!(moved(&[STP, MOV], 8), Err(CannotMove::TooShort(8)));
        assert_eq!(moved(&[], 4), Err(CannotMove::TooShort(0)));
        let far = trampoline(&RET.to_le_bytes().repeat(2), ENTRY, 4, ENTRY + (1 << 30));
        assert!(matches!(far, Err(CannotMove::Encode(_))));
    }
}
