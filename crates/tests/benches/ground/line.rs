//! A kept HTTP/1.1 connection, by hand: one request at a time, to the last byte of its answer. It
//! costs next to nothing, so that what is measured is the server.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The connection.
pub struct Line<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// An answer in the line's buffer.
pub struct Answer<'a> {
    pub head: &'a str,
    pub body: &'a [u8],
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub fn new(stream: S) -> Line<S> {
        Line {
            stream,
            buffer: vec![0; 8 * 1024],
        }
    }

    /// Sends a request and reads its answer, which must carry its length.
    pub async fn send(&mut self, request: &[u8]) -> Answer<'_> {
        self.stream.write_all(request).await.expect("a connection");
        self.stream.flush().await.expect("a connection");
        let (mut filled, mut wanted) = (0, None);
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await;
            let read = read.expect("an answer");
            assert!(read > 0, "the server closed");
            filled += read;
            if wanted.is_none() {
                wanted = measure(&self.buffer[..filled]);
            }
            if let Some((head, all)) = wanted
                && filled >= all
            {
                return Answer {
                    head: std::str::from_utf8(&self.buffer[..head]).expect("a head"),
                    body: &self.buffer[head..all],
                };
            }
        }
    }

    /// The same; the answer must be 200.
    pub async fn ask(&mut self, request: &[u8]) -> &[u8] {
        let answer = self.send(request).await;
        assert!(
            answer.head.starts_with("HTTP/1.1 200 "),
            "{}{}",
            answer.head,
            String::from_utf8_lossy(answer.body)
        );
        answer.body
    }
}

/// The lengths of the head and of the whole answer, once the head is there.
fn measure(answer: &[u8]) -> Option<(usize, usize)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).expect("a head");
    let (_, length) = head.split_once("content-length: ").expect("a length");
    let digits = length.split('\r').next().expect("a length");
    Some((end, end + digits.parse::<usize>().expect("a length")))
}
