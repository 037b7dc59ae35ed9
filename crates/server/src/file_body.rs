//! A file on its way out, a piece at a time: a large one costs no memory, and a slow reader no thread.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::limits::FILE_CHUNK_BYTES;

/// An open file as a body.
pub(crate) struct FileBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl FileBody {
    /// The next `length` octets of a file.
    pub(crate) fn start(file: File, length: u64) -> FileBody {
        let (sender, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut file = file.take(length);
            loop {
                let mut piece = Vec::with_capacity(FILE_CHUNK_BYTES);
                let read = (&mut file)
                    .take(FILE_CHUNK_BYTES as u64)
                    .read_to_end(&mut piece)
                    .await;
                let piece = match read {
                    Ok(0) => break,
                    Ok(_) => Ok(Bytes::from(piece)),
                    Err(error) => Err(error),
                };
                let is_last = piece.is_err();
                // Nobody listens any more when the other side hung up.
                if sender.send(piece).await.is_err() || is_last {
                    break;
                }
            }
        });
        FileBody {
            pieces,
            left: length,
        }
    }
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.pieces.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            // A file that became shorter must not look whole.
            Poll::Ready(None) if self.left > 0 => {
                Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body_of(content: &[u8], announced: u64) -> Result<Bytes, io::Error> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, content).unwrap();
        let body = FileBody::start(File::open(file.path()).await.unwrap(), announced);
        body.collect().await.map(|whole| whole.to_bytes())
    }

    #[tokio::test]
    async fn a_file_goes_out_whole_in_pieces() {
        for length in [0, 1, FILE_CHUNK_BYTES, 3 * FILE_CHUNK_BYTES + 5] {
            let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sent = body_of(&content, length as u64).await.unwrap();
            assert_eq!(sent, content, "{length}");
        }
    }

    #[tokio::test]
    async fn a_file_never_looks_longer_or_shorter_than_announced() {
        assert_eq!(body_of(b"longer", 4).await.unwrap(), "long");
        let error = body_of(b"short", 9).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
