//! The fuzz targets' readers.
//!
//! **Absences.** Nothing here but calls of the product's own readers.
//!
//! Read first: [`readers::READERS`].

pub mod readers;
