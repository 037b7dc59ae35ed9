//! Tenure's engine.
//!
//! **Absences.** See ARCHITECTURE.md.
