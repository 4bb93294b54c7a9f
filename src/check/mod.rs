//! The fully validating reader: proves over a byte slice that a file is what it claims to be, and
//! answers its graph and hashes. Trusts nothing, allocates by what is there and not by what is claimed,
//! recurses nowhere. No `unsafe` here.
#![forbid(unsafe_code)]
