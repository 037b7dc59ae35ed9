//! Tables on their way in. They are large, and lines may be slow: each is received into a file without
//! a name first, and then they are read one at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::extract::Request;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::Desk;
use crate::limits::{IMPORT_BODY_BYTES_MAX, TABLES_RECEIVED_MAX};
use crate::peer::Pieces;
use crate::problem::Problem;

/// Who may bring a table, and whose is read.
pub(super) struct Tables {
    receiving: Arc<Semaphore>,
    reading: Arc<Mutex<()>>,
}

impl Default for Tables {
    fn default() -> Tables {
        Tables {
            receiving: Arc::new(Semaphore::new(TABLES_RECEIVED_MAX)),
            reading: Arc::default(),
        }
    }
}

/// The right to hold the rows of a table in memory.
pub(super) struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl Tables {
    /// Waits until no other table is held in memory.
    pub(super) async fn turn(&self) -> Turn {
        Turn {
            _held: Arc::clone(&self.reading).lock_owned().await,
        }
    }
}

/// A table that was received. A cheap handle; its file goes with the last one.
#[derive(Clone)]
pub(super) struct Table {
    inside: Arc<Inside>,
}

struct Inside {
    file: File,
    hash: [u8; 32],
    _place: OwnedSemaphorePermit,
}

impl Table {
    /// Receives the body of a request.
    ///
    /// # Errors
    /// 413 if it is too large, 408 if nothing of it comes for too long, and a fault of the disk.
    pub(super) async fn receive(desk: &Desk, request: Request) -> Result<Table, Problem> {
        let place = Arc::clone(&desk.tables().receiving).acquire_owned().await;
        let place = place.map_err(|_| Problem::internal())?;
        let file = tempfile::tempfile_in(desk.data()).map_err(|error| failed(&error))?;
        let mut file = tokio::fs::File::from_std(file);
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut pieces = Pieces::of(request, IMPORT_BODY_BYTES_MAX).await?;
        while let Some(piece) = pieces.next().await? {
            hash.update(&piece);
            let written = file.write_all(&piece).await;
            written.map_err(|error| failed(&error))?;
        }
        file.flush().await.map_err(|error| failed(&error))?;
        let mut table = Inside {
            file: file.into_std().await,
            hash: [0; 32],
            _place: place,
        };
        // SHA-256 has 32 octets.
        table.hash.copy_from_slice(hash.finish().as_ref());
        Ok(Table {
            inside: Arc::new(table),
        })
    }

    /// Its SHA-256.
    pub(super) fn hash(&self) -> [u8; 32] {
        self.inside.hash
    }

    /// All of it; a blocking call.
    ///
    /// # Errors
    /// 400 if it is not UTF-8, and a fault of the disk.
    pub(super) fn text(&self) -> Result<String, Problem> {
        let mut file = &self.inside.file;
        let mut text = String::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_string(&mut text))
            .map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => Problem::bad_request("the table is not UTF-8"),
                _ => failed(&error),
            })?;
        Ok(text)
    }
}

/// A full disk, most likely.
fn failed(error: &io::Error) -> Problem {
    tracing::error!(%error, "cannot keep a table in the data directory");
    Problem::internal()
}
