//! The bytes of the jumps that redirect a function on x86-64 (Intel SDM volume 2, `JMP`), and the
//! recognition of an entry that begins with one. Pure: compiled and tested on every architecture.

/// Length of [`absolute_jump`], bytes.
pub const ABSOLUTE_JUMP_LEN: usize = 14;

/// What an indirect branch to guarded code has to find: `endbr64`.
pub const LANDING_PAD: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// Length of [`near_jump`], bytes.
pub const NEAR_JUMP_LEN: usize = 5;

/// `jmp qword ptr [rip + 0]` followed by the address: reaches everything, changes no register.
#[must_use]
pub fn absolute_jump(to: usize) -> [u8; ABSOLUTE_JUMP_LEN] {
    let mut code = [0; ABSOLUTE_JUMP_LEN];
    code[..2].copy_from_slice(&[0xff, 0x25]);
    code[6..].copy_from_slice(&(to as u64).to_le_bytes());
    code
}

/// `jmp rel32` placed at `from`. `None` where `to` is farther away than a signed 32-bit distance.
#[must_use]
pub fn near_jump(from: usize, to: usize) -> Option<[u8; NEAR_JUMP_LEN]> {
    let next = from.wrapping_add(NEAR_JUMP_LEN);
    let distance = i32::try_from(to.wrapping_sub(next) as isize).ok()?;
    let mut code = [0xe9; NEAR_JUMP_LEN];
    code[1..].copy_from_slice(&distance.to_le_bytes());
    Some(code)
}

/// Where an entry leads that begins with a jump (after `endbr64`, if there is one).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryJump {
    /// To this address.
    To(usize),
    /// To the address stored at this one.
    Through(usize),
}

/// The jump that the code at `address` begins with: `jmp rel8`, `jmp rel32`, `jmp [rip + d]`, or an
/// address loaded into a register or pushed and then jumped to. `None` where the code does not begin
/// with an unconditional jump.
#[must_use]
pub fn entry_jump(code: &[u8], address: usize) -> Option<EntryJump> {
    let (code, address) = match code.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfa]) {
        Some(rest) => (rest, address.wrapping_add(4)),
        None => (code, address),
    };
    let word = |at: usize| Some(i32::from_le_bytes(code.get(at..at + 4)?.try_into().ok()?) as isize);
    let relative = |len: usize, distance: isize| address.wrapping_add(len).wrapping_add_signed(distance);
    match *code {
        [0xe9, ..] => Some(EntryJump::To(relative(5, word(1)?))),
        [0xeb, distance, ..] => Some(EntryJump::To(relative(2, distance as i8 as isize))),
        [0xff, 0x25, ..] => Some(EntryJump::Through(relative(6, word(2)?))),
        // mov rax or r11, imm64; jmp rax or r11
        [0x48, 0xb8, a, b, c, d, e, f, g, h, 0xff, 0xe0, ..]
        | [0x49, 0xbb, a, b, c, d, e, f, g, h, 0x41, 0xff, 0xe3, ..] => Some(EntryJump::To(
            u64::from_le_bytes([a, b, c, d, e, f, g, h]) as usize,
        )),
        // push imm32; ret
        [0x68, a, b, c, d, 0xc3, ..] => Some(EntryJump::To(i32::from_le_bytes([a, b, c, d]) as usize)),
        _ => None,
    }
}

/// How many bytes at the start of `code` are what assemblers fill gaps between functions with: `nop` of
/// any length, `int3` and zero bytes. An instruction that is cut off by the end of `code` does not count.
#[must_use]
pub fn leading_padding(code: &[u8]) -> usize {
    let mut len = 0;
    while let Some(&first) = code.get(len) {
        len += match first {
            0x90 | 0xcc | 0x00 => 1,
            _ => match long_nop(&code[len..]) {
                Some(nop) => nop,
                None => break,
            },
        };
    }
    len
}

/// Length of the multi-byte `nop` (`0f 1f /0` with its prefixes) at the start of `code`, if it is whole.
fn long_nop(code: &[u8]) -> Option<usize> {
    let prefixes = code.iter().take_while(|b| matches!(b, 0x66 | 0x2e)).count();
    let len = match code[prefixes..] {
        [0x90, ..] => prefixes + 1,
        [0x0f, 0x1f, modrm, ..] if modrm & 0x38 == 0 => {
            let sib = usize::from(modrm & 7 == 4 && modrm >> 6 != 3);
            let displacement = match modrm >> 6 {
                1 => 1,
                2 => 4,
                0 if modrm & 7 == 5 => 4,
                _ => 0,
            };
            prefixes + 3 + sib + displacement
        }
        _ => return None,
    };
    (len <= code.len()).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_jump_is_an_indirect_jump_through_the_next_eight_bytes() {
        let code = absolute_jump(0x1122_3344_5566_7788);
        assert_eq!(
            code,
            [
                0xff, 0x25, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11
            ]
        );
        assert_eq!(entry_jump(&code, 0x1000), Some(EntryJump::Through(0x1006)));
    }

    #[test]
    fn near_jump_counts_from_its_end_and_refuses_what_is_out_of_reach() {
        assert_eq!(near_jump(0x1000, 0x1005), Some([0xe9, 0, 0, 0, 0]));
        assert_eq!(near_jump(0x1000, 0x1000), Some([0xe9, 0xfb, 0xff, 0xff, 0xff]));
        let farthest = 0x1005 + i32::MAX as usize;
        assert_eq!(near_jump(0x1000, farthest), Some([0xe9, 0xff, 0xff, 0xff, 0x7f]));
        assert_eq!(near_jump(0x1000, farthest + 1), None);
        let base = 0x7000_0000_0000_usize;
        assert!(near_jump(base, base + 5 - (1 << 31)).is_some());
        assert!(near_jump(base, base + 4 - (1 << 31)).is_none());
    }

    #[test]
    fn an_entry_that_begins_with_a_jump_is_recognised() {
        let near = near_jump(0x5000, 0x9000).unwrap();
        assert_eq!(entry_jump(&near, 0x5000), Some(EntryJump::To(0x9000)));
        assert_eq!(entry_jump(&[0xeb, 0xfe], 0x5000), Some(EntryJump::To(0x5000)));
        let endbr = [&[0xf3, 0x0f, 0x1e, 0xfa][..], &near_jump(0x5004, 0x9000).unwrap()].concat();
        assert_eq!(entry_jump(&endbr, 0x5000), Some(EntryJump::To(0x9000)));
        let mov_rax = [0x48, 0xb8, 1, 2, 0, 0, 0, 0, 0, 0, 0xff, 0xe0];
        assert_eq!(entry_jump(&mov_rax, 0), Some(EntryJump::To(0x201)));
        assert_eq!(
            entry_jump(&[0x68, 1, 2, 0, 0, 0xc3], 0),
            Some(EntryJump::To(0x201))
        );
        assert_eq!(entry_jump(&[0x55, 0x41, 0x57], 0), None);
        assert_eq!(entry_jump(&[0xe9, 1], 0), None, "cut short");
    }

    #[test]
    fn padding_is_nops_int3_and_zeros() {
        assert_eq!(leading_padding(&[]), 0);
        assert_eq!(leading_padding(&[0x90, 0xcc, 0x00]), 3);
        assert_eq!(
            leading_padding(&[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]),
            10
        );
        assert_eq!(
            leading_padding(&[0x0f, 0x1f, 0x44, 0, 0, 0x66, 0x90, 0x0f, 0x1f, 0x00, 0x55]),
            10
        );
        assert_eq!(
            leading_padding(&[0xcc, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0]),
            1,
            "a nop cut off"
        );
        assert_eq!(leading_padding(&[0x90, 0x55]), 1);
        assert_eq!(
            leading_padding(&[0x0f, 0x1f, 0x08]),
            0,
            "another member of the opcode group"
        );
        assert_eq!(leading_padding(&[0x0f, 0x0b]), 0);
        assert_eq!(leading_padding(&[0x0f]), 0);
    }
}
