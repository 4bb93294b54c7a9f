//! x86-64 instructions copied to another address: decoded, corrected and encoded again by iced-x86. Pure: compiled and
//! tested on every architecture.

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock, OpKind,
};

use super::trampoline::CannotMove;

/// The code to put at `at`: the first instructions of the x86-64 function `code` (all its bytes, with its
/// entry at `entry`), as many as the first `overwritten` bytes touch, and a jump to what follows them.
///
/// # Errors
/// [`CannotMove`] says what stands against it.
pub fn trampoline(code: &[u8], entry: usize, overwritten: usize, at: usize) -> Result<Vec<u8>, CannotMove> {
    let start = entry as u64;
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut moved: Vec<Instruction> = Vec::new();
    let mut instruction = Instruction::default();
    let mut moved_len = None;
    while decoder.can_decode() {
        let offset = decoder.position();
        if moved_len.is_none() && offset >= overwritten {
            moved_len = Some(offset);
        }
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return Err(CannotMove::Unknown(offset));
        }
        check_branch(&instruction, start, offset, overwritten)?;
        if moved_len.is_none() {
            if matches!(
                instruction.flow_control(),
                FlowControl::Call | FlowControl::IndirectCall
            ) {
                return Err(CannotMove::Call(offset));
            }
            moved.push(instruction);
        }
    }
    match moved_len {
        Some(len) => moved.push(jump_to(start + len as u64)?),
        // The whole function is moved; it must not run off its end.
        None => match moved.last().map(Instruction::flow_control) {
            Some(FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::IndirectBranch) => {}
            _ => return Err(CannotMove::TooShort(code.len())),
        },
    }
    let block = InstructionBlock::new(&moved, at as u64);
    BlockEncoder::encode(64, block, BlockEncoderOptions::NONE)
        .map(|result| result.code_buffer)
        .map_err(|error| CannotMove::Encode(error.to_string()))
}

/// Refuses a branch into the overwritten bytes. A call of the entry itself is a recursive call and may
/// go through the redirected entry like any other; a jump there may be a loop, and may not.
fn check_branch(branch: &Instruction, start: u64, from: usize, overwritten: usize) -> Result<(), CannotMove> {
    if branch.op_count() == 0 || branch.op0_kind() != OpKind::NearBranch64 {
        return Ok(());
    }
    let to = branch.near_branch_target().wrapping_sub(start);
    let recursion = to == 0 && branch.flow_control() == FlowControl::Call;
    if to < overwritten as u64 && !recursion {
        return Err(CannotMove::BranchBack {
            from,
            to: to as usize,
        });
    }
    Ok(())
}

fn jump_to(target: u64) -> Result<Instruction, CannotMove> {
    Instruction::with_branch(Code::Jmp_rel32_64, target)
        .map_err(|error| CannotMove::Encode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: usize = 0x7000_0000_0000;
    const AT: usize = 0x7000_0100_0000;

    /// What the copy of `code` disassembles to: instructions with their operands resolved.
    fn moved(code: &[u8], overwritten: usize, at: usize) -> Result<Vec<Instruction>, CannotMove> {
        let copy = trampoline(code, ENTRY, overwritten, at)?;
        Ok(Decoder::with_ip(64, &copy, at as u64, DecoderOptions::NONE)
            .into_iter()
            .collect())
    }

    #[test]
    fn a_prologue_is_copied_and_followed_by_a_jump_back() {
        // push rbp; push r15; push r14; sub rsp, 0x328; ret
        let code = [
            0x55, 0x41, 0x57, 0x41, 0x56, 0x48, 0x81, 0xec, 0x28, 0x03, 0, 0, 0xc3,
        ];
        let copy = trampoline(&code, ENTRY, 5, AT).unwrap();
        assert_eq!(copy[..5], code[..5]);
        let copy = moved(&code, 6, AT).unwrap();
        assert_eq!(
            copy.len(),
            5,
            "the instruction that begins in the overwritten bytes comes along"
        );
        assert_eq!(copy[4].code(), Code::Jmp_rel32_64);
        assert_eq!(copy[4].near_branch_target(), ENTRY as u64 + 12);
    }

    #[test]
    fn operands_and_branches_keep_their_targets() {
        // mov rax, [rip+0x100]; test rax, rax; jne +0x20; ret; 0x20 bytes nop
        let mut code = vec![0x48, 0x8b, 0x05, 0, 1, 0, 0, 0x48, 0x85, 0xc0, 0x75, 0x20, 0xc3];
        code.resize(64, 0x90);
        let copy = moved(&code, 12, AT).unwrap();
        assert_eq!(copy[0].ip_rel_memory_address(), ENTRY as u64 + 7 + 0x100);
        assert!(copy[2].is_jcc_short_or_near());
        assert_eq!(copy[2].near_branch_target(), ENTRY as u64 + 12 + 0x20);
        let far = trampoline(&code, ENTRY, 12, ENTRY + (1 << 33));
        assert!(
            matches!(far, Err(CannotMove::Encode(_))),
            "the operand is out of reach"
        );
    }

    #[test]
    fn what_cannot_be_moved_is_refused() {
        assert_eq!(trampoline(&[0x06; 8], ENTRY, 5, AT), Err(CannotMove::Unknown(0)));
        // nop x5; jmp short to offset 3
        let back = [0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, 0xfc];
        assert_eq!(
            trampoline(&back, ENTRY, 5, AT),
            Err(CannotMove::BranchBack { from: 5, to: 3 })
        );
        // call rel32; ret
        assert_eq!(
            trampoline(&[0xe8, 0, 1, 0, 0, 0xc3], ENTRY, 5, AT),
            Err(CannotMove::Call(0))
        );
        // nop; call [rip]; ret
        let call = [0x90, 0xff, 0x15, 0, 0, 0, 0, 0xc3];
        assert_eq!(trampoline(&call, ENTRY, 5, AT), Err(CannotMove::Call(1)));
        assert_eq!(
            trampoline(&[0x90, 0x90], ENTRY, 5, AT),
            Err(CannotMove::TooShort(2))
        );
        assert_eq!(trampoline(&[], ENTRY, 5, AT), Err(CannotMove::TooShort(0)));
        assert_eq!(trampoline(&[0x90, 0xc3], ENTRY, 5, AT), Ok(vec![0x90, 0xc3]));
    }
}
