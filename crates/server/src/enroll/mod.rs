//! The enrollment protocols: a folder each, which turns bytes into an ask and the answer back into
//! bytes.

pub mod est;
