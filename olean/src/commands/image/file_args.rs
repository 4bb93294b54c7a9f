//! The argument of what only looks into an image.

use std::path::PathBuf;

/// An image.
#[derive(clap::Args)]
pub struct FileArgs {
    /// The image
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
