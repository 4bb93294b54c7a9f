//! lean-region measured against the loader inside a real Lean: both are called in turn on the same live
//! objects in one process.
//!
//! * [`runtime`]: the real Lean of this process and the two loaders, called alike;
//! * [`module`]: modules rebuilt from region files as live objects; [`shapes`]: objects of synthetic shape;
//!   [`inputs`]: which of them there are;
//! * [`measure`]: interleaved timing; [`report`]: rows, the table, JSON;
//! * [`readable`]: files to be read;
//! * [`save`], [`memory`], [`read`]: the rows; [`scaling`]: cost against size, drawn by [`plot`];
//! * [`scale`]: whole processes over thousands of modules.

pub mod files;
pub mod inputs;
pub mod measure;
pub mod memory;
pub mod module;
pub mod plot;
pub mod read;
pub mod readable;
pub mod report;
pub mod runtime;
pub mod save;
pub mod scale;
pub mod scaling;
pub mod shapes;
