//! Tenure's store.
//!
//! **Absences.** See ARCHITECTURE.md.
