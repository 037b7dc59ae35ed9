//! `DIR/run.json`: where the running server is. `serve` writes it once all listeners are bound; the
//! command line on the same machine reads it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

const FILE_NAME: &str = "run.json";

/// What a running server says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Process id.
    pub pid: u32,
    /// The version that runs.
    pub version: String,
    /// The device listener's bound address.
    pub device: SocketAddr,
    /// The public listener's bound address.
    pub public: SocketAddr,
    /// The operator listener's bound address.
    pub operator: SocketAddr,
    /// The access listener's bound address, if it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<SocketAddr>,
}

impl RunFile {
    /// Writes the file whole or not at all: a reader never sees half of it.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn write(&self, data: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(data)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.as_file().sync_all()?;
        file.persist(data.join(FILE_NAME))?;
        Ok(())
    }

    /// Reads the file of a running or a killed server; `None` if there is none.
    ///
    /// # Errors
    /// The file is there and cannot be read or understood.
    pub fn read(data: &Path) -> io::Result<Option<RunFile>> {
        match std::fs::read(data.join(FILE_NAME)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the file after a graceful stop.
    pub fn remove(data: &Path) {
        // A leftover file only makes the next command say "not reachable".
        let _ = std::fs::remove_file(data.join(FILE_NAME));
    }
}

/// The address at which a listener bound to `bound` is reached from this machine.
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, bound.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_written_and_gone_after_removal() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(RunFile::read(directory.path()).unwrap(), None);
        let file = RunFile {
            pid: 7,
            version: "0.1.0".into(),
            device: "127.0.0.1:1".parse().unwrap(),
            public: "[::1]:2".parse().unwrap(),
            operator: "0.0.0.0:3".parse().unwrap(),
            access: None,
        };
        file.write(directory.path()).unwrap();
        assert_eq!(RunFile::read(directory.path()).unwrap(), Some(file));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        RunFile::remove(directory.path());
        assert_eq!(RunFile::read(directory.path()).unwrap(), None);
    }

    #[test]
    fn an_unspecified_address_is_reached_at_loopback() {
        assert_eq!(
            reachable("0.0.0.0:3".parse().unwrap()).to_string(),
            "127.0.0.1:3"
        );
        assert_eq!(reachable("[::]:3".parse().unwrap()).to_string(), "[::1]:3");
        assert_eq!(
            reachable("10.0.0.1:3".parse().unwrap()).to_string(),
            "10.0.0.1:3"
        );
    }
}
