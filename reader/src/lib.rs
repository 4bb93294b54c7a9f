//! Reads `.olean` files, the compacted regions in which Lean 4 keeps compiled modules, and proves over a byte slice
//! that a file is what it claims to be. Trusts nothing, allocates by what is there and not by what is claimed,
//! recurses nowhere, and has no `unsafe`. Files of 64-bit and of 32-bit Leans (WebAssembly), versions 2 and 3.
//!
//! # The way through a file
//!
//! [`File::parse`] reads header and sections; [`Region::check`] proves objects and pointers, or [`Region::walk`] the
//! objects alone, which is enough for a file that others point into; [`Graph`] answers what is where. What a file's
//! objects are of type is written nowhere, but module data is known by its looks: [`Graph::follow`] takes paths such
//! as `constants[3].val.value`, and [`Graph::name`] puts names together.
//!
//! The constants of a module by size, largest first:
//!
//! ```
//! use olean_reader::{File, Graph, Region, Value};
//!
//! fn constants_by_size(bytes: &[u8]) -> Result<Vec<(usize, String)>, Box<dyn std::error::Error>> {
//!     let file = File::parse(bytes, "Demo.olean", None)?;
//!     let region = Region::check(file, &[])?;
//!     let graph = Graph::new(&region, &[])?;
//!     let Value::Object(constants) = graph.follow("constants")?.value else {
//!         return Ok(Vec::new());
//!     };
//!     let mut list = Vec::new();
//!     for (i, constant) in graph.children(constants).enumerate() {
//!         let name = graph.follow(&format!("constants[{i}].val.toConstantVal.name"))?;
//!         // What several constants share is part of each of them.
//!         let size = graph.reachable_from(constant).map(|n| graph.size(n)).sum();
//!         list.push((size, graph.name(name.value).unwrap_or_default()));
//!     }
//!     list.sort_by(|a, b| b.cmp(a));
//!     Ok(list)
//! }
//!
//! # use olean_reader::format::{header::{Header, VERSION_2}, object::ObjectHeader};
//! # const BASE: u64 = 0x10_0000;
//! # fn object(file: &mut Vec<u64>, tag: u8, size: usize, other: u8, words: &[u64]) -> u64 {
//! #     let at = BASE + 8 * file.len() as u64;
//! #     file.push(ObjectHeader { cs_sz: size as u16, other, tag }.word());
//! #     file.extend(words);
//! #     at
//! # }
//! # fn ctor(file: &mut Vec<u64>, tag: u8, fields: &[u64], scalars: &[u64]) -> u64 {
//! #     let words = [fields, scalars].concat();
//! #     object(file, tag, 8 + 8 * words.len(), fields.len() as u8, &words)
//! # }
//! # fn array(file: &mut Vec<u64>, items: &[u64]) -> u64 {
//! #     let n = items.len() as u64;
//! #     object(file, 246, 1, 0, &[&[n, n], items].concat())
//! # }
//! # /// A module with two axioms: `a : Prop` and `b : Prop → Prop`.
//! # fn demo() -> Vec<u8> {
//! #     let mut header = Header { version: VERSION_2, flags: 1, lean_version: [0; 33], githash: [0; 40], base: BASE };
//! #     header.lean_version[..6].copy_from_slice(b"4.35.0");
//! #     let header = header.encode();
//! #     let mut file: Vec<u64> =
//! #         header.chunks(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect();
//! #     file.push(0);
//! #     let f = &mut file;
//! #     let prop = ctor(f, 3, &[1], &[0]);
//! #     let mut constants = Vec::new();
//! #     let mut names = Vec::new();
//! #     for (letter, arrow) in [(b'a', false), (b'b', true)] {
//! #         let text = object(f, 249, 1, 0, &[2, 2, 1, letter.into()]);
//! #         let name = ctor(f, 1, &[1, text], &[7]);
//! #         let ty = if arrow { ctor(f, 7, &[name, prop, prop], &[0, 0]) } else { prop };
//! #         let val = ctor(f, 0, &[name, 1, ty], &[]);
//! #         let val = ctor(f, 0, &[val], &[0]);
//! #         constants.push(ctor(f, 0, &[val], &[]));
//! #         names.push(name);
//! #     }
//! #     let arrays = [vec![], names, constants, vec![], vec![]].map(|items| array(f, &items));
//! #     let root = ctor(f, 0, &arrays, &[]);
//! #     file[11] = root;
//! #     file.iter().flat_map(|w| w.to_le_bytes()).collect()
//! # }
//! let bytes = demo(); // std::fs::read("Demo.olean")? in a program
//! let list = constants_by_size(&bytes)?;
//! assert_eq!(list, [(216, "b".to_owned()), (168, "a".to_owned())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors
//!
//! A [`CheckError`] says what is wrong, in which file, where, and in which object and field, and prints all of it:
//!
//! ```
//! let error = olean_reader::File::parse(b"olean\x09", "Broken.olean", None).unwrap_err();
//! assert_eq!(error.to_string(), "Broken.olean: the file has 6 bytes, shorter than the 88 byte header");
//! ```
//!
//! # What else there is
//!
//! * [`verify_region`], the short way for a loader: one call that proves a file before its root is handed out;
//! * [`Graph::digests`], which compare values wherever their objects lie; [`diff`], the first path at which two files
//!   differ; [`stats`], what fills a file;
//! * [`transform`], a file for another base address, pointer width or bignum layout;
//! * [`types`] and [`path`], field names and paths of module data;
//! * [`format`](mod@format), the bytes: [header](format::header), [objects](format::object) and their rules,
//!   [sections](format::trailer) of version 3.
//!
//! A file may point into others, its dependencies, whose bytes [`Region::check`] and [`Graph::new`] have to be given;
//! a pointer to nowhere is an error in the one and [`Value::Outside`] in the other.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod bitmap;
mod deps;
pub mod diff;
mod error;
mod file;
pub mod format;
mod graph;
mod guess;
mod hash;
pub mod names;
mod nats;
mod parse;
pub mod path;
mod proof;
mod region;
mod space;
pub mod stats;
pub mod transform;
pub mod types;
mod verify;
mod walk;

pub use deps::DepBytes;
pub use error::{BadPointer, CheckError, Field, ObjectRef, Violation};
pub use file::{File, Library, Sections};
pub use format::object::{Bignums, Kind};
pub use format::word::Width;
pub use graph::{Bignum, Closure, Graph, Value};
pub use hash::{Digests, Hash128};
pub use region::{Region, Summary};
pub use space::NodeId;
pub use verify::{Options, verify_region, verify_relocated};
