//! Values on the command line that several subcommands take.

/// An address on the command line.
pub fn address(text: &str) -> std::result::Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "write it like 0x200000000000".to_owned())
}
