//! What the library does in a process that it is preloaded into: `LEAN_REGION_MODE`.

use crate::os::env;

const VARIABLE: &str = "LEAN_REGION_MODE";

/// Who serves the host's calls of the loader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The host, untouched.
    Off,
    /// This library.
    Replace,
    /// The host; this library counts and times.
    Observe,
    /// Both, and their results are compared.
    Compare,
}

/// `LEAN_REGION_MODE` has a value without meaning.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{VARIABLE} is '{0}', but must be replace, observe, compare or off; correct it or unset it")]
pub struct UnknownMode(String);

impl Mode {
    const ALL: [Mode; 4] = [Self::Off, Self::Replace, Self::Observe, Self::Compare];

    /// The mode as the variable and the report name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Replace => "replace",
            Self::Observe => "observe",
            Self::Compare => "compare",
        }
    }

    /// What `LEAN_REGION_MODE` asks for; [`Mode::Replace`] if it is unset or empty.
    ///
    /// # Errors
    /// It has another value than the names of the modes.
    pub fn from_environment() -> Result<Mode, UnknownMode> {
        let value = env::var(VARIABLE).unwrap_or_default();
        if value.is_empty() {
            return Ok(Self::Replace);
        }
        let named = Self::ALL.into_iter().find(|mode| value == mode.name());
        named.ok_or_else(|| UnknownMode(value.to_string_lossy().into_owned()))
    }

    /// Whether the host's own functions are called while they are redirected.
    #[must_use]
    pub fn calls_originals(self) -> bool {
        matches!(self, Self::Observe | Self::Compare)
    }
}
