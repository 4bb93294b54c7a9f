//! What the operating system and the dynamic linker give: files, mappings, loaded objects and their symbols, pages of
//! code, environment variables.

pub mod alloc;
pub mod arena;
pub mod clock;
pub mod code;
pub mod code_page;
pub mod counters;
pub mod elf;
pub mod env;
pub mod file;
pub mod huge_pages;
pub mod image_use;
pub mod libraries;
pub mod limits;
mod linker;
pub mod lock;
pub mod map;
pub mod mapping_room;
pub mod maps;
pub mod new_file;
pub mod notes;
pub mod originals;
pub mod page;
mod pages;
pub mod panics;
pub mod prefetch;
pub mod reserved;
pub mod saved_files;
pub mod stderr;
pub mod thread_text;
pub mod threads;
pub mod whole_file;
