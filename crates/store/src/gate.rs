//! Whether a thread's queue takes more.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Nothing comes any more; what is there is still done.
    Closed,
}
