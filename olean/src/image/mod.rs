//! Images of region files, as `olean image` makes and reads them.
//!
//! * `collect`: which files belong in an image, as modules and snapshots, and which are left out;
//! * `left_out`: what is not in an image, and why;
//! * `place`: where every region goes, and the address of the whole;
//! * `source`: the files that go in, read, digested and looked at again;
//! * `relink`: regions read, proved and rewritten for their places, on several threads;
//! * `writer`: what they write to the file, one of them at a time;
//! * `build`: all of these in order, and the tables;
//! * `new_file`: a file that is no image before it is complete;
//! * `open`: an image that is there, read and checked; `outlook`: what a process would get from it.

pub mod build;
pub mod collect;
pub mod left_out;
pub mod new_file;
pub mod open;
pub mod outlook;
pub mod place;
pub mod refresh;
pub mod relink;
pub mod source;
mod writer;
