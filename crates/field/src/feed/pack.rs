//! Packs at the relying party: taken from a file as a feed is from the network, and confirmed by a
//! file. Nothing that comes back is needed to go on.

use std::path::Path;

use tenure_domain::feed::pack::{BadPack, PACK_BYTES_MAX, Pack};
use tenure_domain::feed::receipt::Receipt;
use tenure_domain::feed::{Digest, VERSION};
use tenure_x509::Time;

use super::{Applied, Connection, Error, Holding, Signed, Taken, open, read_up_to};

impl From<BadPack> for Error {
    fn from(why: BadPack) -> Error {
        Error::Pack { what: why.0 }
    }
}

/// A pack whose manifest the pinned key has signed, and which is whole.
#[derive(Debug)]
pub struct Opened {
    signed: Signed,
    items: Vec<Vec<u8>>,
}

impl Opened {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is no pack, or is not signed by the connection's key.
    pub fn read(file: &Path, connection: &Connection) -> Result<Opened, Error> {
        let octets = read_up_to(file, PACK_BYTES_MAX)?;
        let pack = Pack::split(&octets)?;
        // Nothing else of it is looked at before.
        let signed = open(pack.note(), &connection.pinned()?)?;
        let items = pack.items(signed.manifest())?;
        let items = items.into_iter().map(<[u8]>::to_vec).collect();
        Ok(Opened { signed, items })
    }

    /// Puts it in place; see [`Holding::take`].
    ///
    /// # Errors
    /// As there.
    pub fn take_into(&self, holding: &mut Holding, now: Time) -> Result<Taken, Error> {
        holding.take(&self.signed, &self.items, now)
    }
}

/// The file that says what is in use, for the way back. It is sealed with the connection's token.
pub fn receipt(connection: &Connection, applied: &Applied) -> String {
    let receipt = Receipt {
        applied_at: applied.at,
        manifest: applied.held.sha256,
        party: connection.party.clone(),
        sequence: applied.held.sequence,
        version: VERSION,
    };
    receipt.seal(&Digest::of(connection.token.trim().as_bytes()).0)
}
