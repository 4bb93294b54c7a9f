//! The words of the jumps that redirect a function on AArch64 (Arm ARM, C6.2 `LDR (literal)`, `BR`,
//! `B`), and the recognition of an entry that begins with one. Pure: compiled and tested on every
//! architecture. `x16` may be changed between a call and the called function's entry (AAPCS64, IP0).

/// Length of [`absolute_jump`], bytes.
pub const ABSOLUTE_JUMP_LEN: usize = 16;

/// What an indirect branch to guarded code has to find: `bti c`.
pub const LANDING_PAD: [u8; 4] = LANDING_PADS[0].to_le_bytes();

/// Length of [`near_jump`], bytes.
pub const NEAR_JUMP_LEN: usize = 4;

/// `ldr x16, #8`.
const LDR_X16_LITERAL_8: u32 = 0x5800_0050;
/// `br x16`.
const BR_X16: u32 = 0xd61f_0200;
/// `bti c`, and `paciasp` which serves as one.
const LANDING_PADS: [u32; 2] = [0xd503_245f, 0xd503_233f];

/// `ldr x16, #8; br x16` followed by the address: reaches everything, changes `x16`.
#[must_use]
pub fn absolute_jump(to: usize) -> [u8; ABSOLUTE_JUMP_LEN] {
    let mut code = [0; ABSOLUTE_JUMP_LEN];
    code[..4].copy_from_slice(&LDR_X16_LITERAL_8.to_le_bytes());
    code[4..8].copy_from_slice(&BR_X16.to_le_bytes());
    code[8..].copy_from_slice(&(to as u64).to_le_bytes());
    code
}

/// `b` placed at `from`. `None` where `to` is farther away than 128 MiB or not a multiple of 4 away.
#[must_use]
pub fn near_jump(from: usize, to: usize) -> Option<[u8; NEAR_JUMP_LEN]> {
    Some((0x1400_0000 | word_distance(from, to, 26)?).to_le_bytes())
}

/// The distance `to - from` in words as a two's complement field of `bits` bits; `None` where it does
/// not fit.
pub(super) fn word_distance(from: usize, to: usize, bits: u32) -> Option<u32> {
    let distance = to.wrapping_sub(from) as i64;
    let words = distance >> 2;
    let reach = 1i64 << (bits - 1);
    let fits = distance & 3 == 0 && (-reach..reach).contains(&words);
    fits.then_some(words as u32 & ((1 << bits) - 1))
}

/// The sign-extended field of `bits` bits at bit `low` of `word`, times 4: a distance in bytes.
pub(super) fn byte_distance(word: u32, low: u32, bits: u32) -> isize {
    let field = i64::from(word) << (64 - low - bits) >> (64 - bits);
    (field << 2) as isize
}

/// Where an entry leads that begins with a jump (after `bti c` or `paciasp`, if there is one).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryJump {
    /// To this address.
    To(usize),
    /// To the address stored at this one.
    Through(usize),
}

/// The jump that the code at `address` begins with: `b`, or an address loaded from a literal into a
/// register that the next instruction branches to. `None` where the code does not begin so.
#[must_use]
pub fn entry_jump(code: &[u8], address: usize) -> Option<EntryJump> {
    let word = |index: usize| {
        let bytes = code.get(index * 4..index * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let start = usize::from(word(0).is_some_and(|w| LANDING_PADS.contains(&w)));
    let (first, at) = (word(start)?, address.wrapping_add(start * 4));
    if first >> 26 == 0b000101 {
        return Some(EntryJump::To(at.wrapping_add_signed(byte_distance(first, 0, 26))));
    }
    let register = first & 31;
    let branches = word(start + 1)? == 0xd61f_0000 | register << 5;
    (first >> 24 == 0x58 && branches)
        .then(|| EntryJump::Through(at.wrapping_add_signed(byte_distance(first, 5, 19))))
}

/// How many bytes at the start of `code` are what assemblers fill gaps between functions with: `nop`,
/// `brk`, `udf #0`. An instruction that is cut off by the end of `code` does not count.
#[must_use]
pub fn leading_padding(code: &[u8]) -> usize {
    let words = code.as_chunks::<4>().0.iter().map(|&w| u32::from_le_bytes(w));
    4 * words
        .take_while(|&w| w == 0xd503_201f || w == 0 || w & 0xffe0_001f == 0xd420_0000)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: &[u8]) -> Vec<u32> {
        code.chunks(4)
            .map(|w| u32::from_le_bytes(w.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn absolute_jump_loads_its_literal() {
        // Encodings by `aarch64-linux-gnu-as`: ldr x16, .+8; br x16; .quad 0x1122334455667788.
        let code = absolute_jump(0x1122_3344_5566_7788);
        assert_eq!(words(&code), [0x5800_0050, 0xd61f_0200, 0x5566_7788, 0x1122_3344]);
        assert_eq!(entry_jump(&code, 0x4000), Some(EntryJump::Through(0x4008)));
    }

    #[test]
    fn near_jump_reaches_128_mib_both_ways() {
        let b = |from, to| near_jump(from, to).map(u32::from_le_bytes);
        assert_eq!(b(0x1000, 0x1000), Some(0x1400_0000));
        assert_eq!(b(0x1000, 0x1004), Some(0x1400_0001));
        assert_eq!(b(0x1004, 0x1000), Some(0x17ff_ffff));
        let (from, reach) = (0x7000_0000_0000, 128 << 20);
        assert_eq!(b(from, from + reach - 4), Some(0x15ff_ffff));
        assert_eq!(b(from, from + reach), None);
        assert_eq!(b(from, from - reach), Some(0x1600_0000));
        assert_eq!(b(from, from - reach - 4), None);
        assert_eq!(b(from, from + 2), None, "not a multiple of an instruction");
        for to in [from + reach - 4, from - reach, from + 4] {
            assert_eq!(
                entry_jump(&near_jump(from, to).unwrap(), from),
                Some(EntryJump::To(to))
            );
        }
    }

    #[test]
    fn an_entry_that_begins_with_a_jump_is_recognised() {
        let with_pad = [
            &0xd503_245f_u32.to_le_bytes()[..],
            &near_jump(0x4004, 0x8000).unwrap(),
        ]
        .concat();
        assert_eq!(entry_jump(&with_pad, 0x4000), Some(EntryJump::To(0x8000)));
        let prologue = [0xa9bf_7bfd_u32.to_le_bytes(), 0x9100_03fd_u32.to_le_bytes()].concat();
        assert_eq!(entry_jump(&prologue, 0x4000), None);
        let other_register = [LDR_X16_LITERAL_8.to_le_bytes(), 0xd61f_0220_u32.to_le_bytes()].concat();
        assert_eq!(entry_jump(&other_register, 0x4000), None, "br x17 after ldr x16");
    }

    #[test]
    fn padding_is_nop_brk_and_zeros() {
        let code = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(leading_padding(&code(&[0xd503_201f, 0, 0xd420_0020])), 12);
        assert_eq!(leading_padding(&code(&[0xd503_201f, 0xd65f_03c0])), 4);
        assert_eq!(leading_padding(&[0, 0, 0]), 0, "cut off");
    }
}
