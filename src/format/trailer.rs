//! What follows the data of a version 3 file: closure offsets, library table, and our extension section
//! (spec section 5.4).
