//! Packs at the relying party: taken from a file as a feed is from the network, and confirmed by a
//! file. Nothing that comes back is needed to go on.

use std::path::Path;

use tenure_domain::feed::pack::{BadPack, PACK_BYTES_MAX, Pack};
use tenure_domain::feed::receipt::Receipt;
use tenure_domain::feed::site::SitePack;
use tenure_domain::feed::{Digest, Item, VERSION};
use tenure_x509::Time;

use super::holding::is_as_said;
use super::{Applied, Connection, Error, Holding, Signed, Taken, open, read_up_to};

impl From<BadPack> for Error {
    fn from(why: BadPack) -> Error {
        Error::Pack { what: why.0 }
    }
}

/// A pack, or our part of a site's, whose manifest the pinned key has signed, and which is whole.
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
        if SitePack::is_one(&octets) {
            return Opened::part(&octets, connection);
        }
        let pack = Pack::split(&octets)?;
        // Nothing else of it is looked at before.
        let signed = open(pack.note(), &connection.pinned()?)?;
        let items = pack.items(signed.manifest())?;
        let items = items.into_iter().map(<[u8]>::to_vec).collect();
        Ok(Opened { signed, items })
    }

    /// Our part of a site's pack, all of which must be signed by the connection's key.
    fn part(octets: &[u8], connection: &Connection) -> Result<Opened, Error> {
        let (pack, key) = (SitePack::split(octets)?, connection.pinned()?);
        let all = pack.notes().iter().map(|note| open(note, &key));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let items = pack.items(all.iter().map(Signed::manifest))?;
        // A pack that somebody touched is not relied upon at all, wherever it was.
        for item in all.iter().flat_map(|signed| &signed.manifest().items) {
            if !items
                .get(&item.sha256)
                .is_some_and(|octets| is_as_said(item, octets))
            {
                return Err(Error::Item { path: item.path() });
            }
        }
        let own = all
            .into_iter()
            .find(|signed| signed.manifest().party == connection.party)
            .ok_or(Error::Pack {
                what: "nothing in it is for this relying party",
            })?;
        let of_item = |item: &Item| {
            items
                .get(&item.sha256)
                .copied()
                .unwrap_or_default()
                .to_vec()
        };
        let items = own.manifest().items.iter().map(of_item).collect();
        Ok(Opened { signed: own, items })
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
