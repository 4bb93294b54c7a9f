//! How to call a function whose entry was overwritten: its first instructions are copied elsewhere,
//! corrected for their new place, and followed by a jump to the first instruction that is still whole.
//! The function is never put back for a call: other threads may be entering it.
//!
//! An exception that unwinds out of the function itself passes correctly (the copy leaves no frame
//! behind); only one out of a call that stood among the copied instructions would not, so a call is not
//! copied.

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock, OpKind,
};

/// Why the first instructions of a function cannot be copied.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotMove {
    /// The function is over before the overwritten bytes are.
    #[error("the function is only {0} bytes long and does not end there by a return or jump")]
    TooShort(usize),
    /// An instruction that the decoder does not know.
    #[error("unknown instruction at offset {0}")]
    Unknown(usize),
    /// The function branches back into the bytes that are overwritten.
    #[error("the branch at offset {from} leads back to offset {to}, among the bytes to be overwritten")]
    BranchBack {
        /// Offset of the branch in the function.
        from: usize,
        /// Offset it leads to.
        to: usize,
    },
    /// A call among the instructions to be copied.
    #[error("a call at offset {0}, among the instructions to be moved")]
    Call(usize),
    /// The corrected instructions cannot be encoded at the new place.
    #[error("the moved instructions cannot be encoded: {0}")]
    Encode(String),
}

/// The code to put at `at`: the first instructions of the x86-64 function `code` (all its bytes, with its
/// entry at `entry`), as many as the first `overwritten` bytes touch, and a jump to what follows them.
///
/// # Errors
/// [`CannotMove`] says what stands against it.
pub fn x86_64(code: &[u8], entry: usize, overwritten: usize, at: usize) -> Result<Vec<u8>, CannotMove> {
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

/// The same for AArch64.
///
/// # Errors
/// [`CannotMove`] says what stands against it.
pub fn aarch64(code: &[u8], entry: usize, overwritten: usize, at: usize) -> Result<Vec<u8>, CannotMove> {
    super::move_aarch64::trampoline(code, entry, overwritten, at)
}
