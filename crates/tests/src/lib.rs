//! What the tests of the whole house share.
//!
//! **Absences.** Nothing here is part of the product.
