//! lean-region: the loader of Lean 4's compacted regions (`.olean` files), with a C ABI that stands in
//! for the one inside `libleanshared.so`.
//!
//! Words that every module uses:
//!
//! * a *region* is the content of one `.olean` file in memory: a header and objects that point to each other; its
//!   *root* is the object that was saved;
//! * a region's *base address* is where its file asks to be mapped; if it can be, its pointers are right as they stand,
//!   otherwise it is *relocated*;
//! * the *dependencies* of a region are other regions that its pointers may lead into;
//! * *compaction* turns a graph of live objects into the bytes of a region;
//! * the *host* is the Lean runtime of the process, and the *incumbent* the loader inside it that this library stands
//!   in for; whose messages and bytes are the measure of ours.
//!
//! The layers, lower ones first; a module uses only modules above it in this list (docs/architecture.md says which):
//!
//! * [`olean_reader`], a crate of its own: the bytes of a file, and the fully validating reader over them.
//! * [`os`]: files, mappings, loaded libraries, environment variables.
//! * [`object`]: the layout of live objects and the raw accessors.
//! * [`dependencies`]: where the regions lie that others point into. No `unsafe`.
//! * [`relocate`]: pointers of a region rewritten for where it and its dependencies lie. No `unsafe`.
//! * [`compactor`]: live objects to bytes.
//! * [`host`]: the Lean runtime of this process, or the embedded one where there is none.
//! * [`compare`]: two loaders' files and regions held against each other. No `unsafe`.
//! * [`region`]: saving and reading files with the layers above; the registry of live regions.
//! * [`redirect`]: the host's own entry points replaced by ours; report at exit.
//! * [`capi`]: the C entry points, which only translate.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "lean-region redirects functions of the host by writing jumps into them, and knows how to do that on Linux on x86-64 \
     and AArch64 only"
);

pub mod capi;
pub mod compactor;
pub mod compare;
pub mod dependencies;
pub mod host;
pub mod object;
pub mod os;
pub mod redirect;
pub mod region;
pub mod relocate;
