//! How a page of the host's code is protected while and after it is written to. `/proc/self/maps` does not show that code
//! is guarded on AArch64 (`PROT_BTI`), and a change of protection that does not say so takes it away.

use crate::os::elf::ElfObject;

/// Guarded code (asm/mman.h of AArch64).
const PROT_BTI: i32 = 0x10;
/// The processor has it (asm/hwcap.h of AArch64).
const HWCAP2_BTI: u64 = 1 << 17;

/// Whether the dynamic linker has mapped the code of `host` guarded: it says that it has landing pads, and the processor
/// looks at them.
pub(super) fn is_guarded(host: &ElfObject) -> bool {
    // SAFETY: getauxval reads the auxiliary vector that the kernel gave this process; an unknown key gives 0.
    let hwcap2 = || unsafe { libc::getauxval(libc::AT_HWCAP2) };
    cfg!(target_arch = "aarch64") && guarded(host.has_landing_pads(), hwcap2())
}

fn guarded(has_landing_pads: bool, hwcap2: u64) -> bool {
    has_landing_pads && hwcap2 & HWCAP2_BTI != 0
}

/// The whole protection of a page that `/proc/self/maps` shows as `shown`.
pub(super) fn whole(shown: i32, guarded: bool) -> i32 {
    match guarded && shown & libc::PROT_EXEC != 0 {
        true => shown | PROT_BTI,
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guarded_code_stays_guarded_and_nothing_else_becomes_so() {
        let code = libc::PROT_READ | libc::PROT_EXEC;
        assert_eq!(whole(code, true), code | 0x10);
        assert_eq!(
            whole(code | libc::PROT_WRITE, true),
            code | libc::PROT_WRITE | 0x10
        );
        assert_eq!(whole(code, false), code);
        assert_eq!(whole(libc::PROT_READ, true), libc::PROT_READ, "data");
        assert!(guarded(true, 1 << 17));
        assert!(!guarded(true, !(1 << 17)), "refused by processors without it");
        assert!(!guarded(false, u64::MAX));
    }
}
