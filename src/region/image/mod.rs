//! Reads answered from an image: one file that holds the regions of many, mapped once.
//!
//! * [`in_use`]: whether there is one, found out at the first read;
//! * [`mapped`]: the image in memory, from its file to its tables;
//! * `chain`: whether a region was linked against the very regions that a call gives;
//! * `read`: what a call of the host comes to;
//! * `own`: regions that something may write to, each given out once, with the code addresses of this process.
//!
//! An image is a cache. Whatever is wrong with it, or with what it knows of a file, the file itself is read.

mod chain;
pub mod facts;
pub mod in_use;
pub mod mapped;
mod own;
pub mod read;
