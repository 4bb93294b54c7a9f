//! The bytes of an `.olean` file, knowing nothing of hosts, processes or live objects: header, trailer
//! of closures, object tags and sizes, and how a base address is derived. No `unsafe` here.

pub mod base;
pub mod dependencies;
pub mod extension;
pub mod header;
pub mod identity;
pub mod image;
pub mod name;
pub mod object;
pub mod room;
pub mod sidecar;
pub mod trailer;
pub mod word;
