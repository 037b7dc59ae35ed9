//! The named steps of the stories: the moments at which a crash would tell most.

/// A moment in a story that has just come to pass. Nothing but a test asks for it: a test stops
/// there for good, to see what a crash would leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Enroll: policy allowed it and the draft is made. Nothing is written.
    Decided,
    /// Enroll: the serial and the exact bytes are durable.
    Reserved,
    /// Enroll: the signature is made, and is in memory only.
    Signed,
    /// Enroll: the certificate and its event are durable, and nobody was told.
    Completed,
    /// Revoke: the change and its event are durable, and nobody was told.
    Withdrawn,
    /// Publish: a list's entries are in a file beside the published one, unsigned.
    ListWritten,
    /// Publish: the list is signed, and not in its place.
    ListSigned,
    /// Publish: the list is in its place.
    ListPublished,
    /// Seal: tiles are written; no checkpoint covers them.
    TilesWritten,
    /// Seal: the checkpoint is signed, and is in memory only.
    CheckpointSigned,
    /// Seal: the log's state names the checkpoint, which is not published.
    LogAdvanced,
    /// Seal: the checkpoint is published.
    CheckpointPublished,
}

impl Step {
    /// Every step, in the order of the stories.
    pub const ALL: [Step; 12] = [
        Step::Decided,
        Step::Reserved,
        Step::Signed,
        Step::Completed,
        Step::Withdrawn,
        Step::ListWritten,
        Step::ListSigned,
        Step::ListPublished,
        Step::TilesWritten,
        Step::CheckpointSigned,
        Step::LogAdvanced,
        Step::CheckpointPublished,
    ];
}
