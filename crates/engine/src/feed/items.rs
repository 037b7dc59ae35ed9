//! The items of feeds, kept under their hashes for as long as an offer names them: what is published
//! meanwhile must not pull them away from under a relying party that is fetching.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tenure_domain::Slug;
use tenure_domain::feed::{Digest, Item, ItemKind};
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_store::{StoreError, feed};
use tenure_x509::Time;

use super::manifest_of;
use crate::Engine;
use crate::duty::publish::{FilterPart, List, crl_path, filter_path};
use crate::fault::{FaultCause, Rejection};
use crate::file;

/// How long items that no offer names may lie about, in seconds.
const CLEAR_EVERY_S: i64 = 60;

/// What was shelved last of each published file: its number when it was read, and the item.
#[derive(Default)]
pub(crate) struct Shelf {
    files: Mutex<HashMap<(ItemKind, Slug), (u64, Item)>>,
    cleared: Mutex<Option<Time>>,
}

/// Where an item is kept.
pub fn item_path(directory: &Path, hash: Digest) -> PathBuf {
    directory.join("feed").join(hash.to_string())
}

fn fault(error: io::Error) -> FaultCause {
    FaultCause::File {
        doing: "keeping an item of a feed",
        error,
    }
}

impl Engine {
    /// Puts octets on the shelf.
    pub(super) fn shelve(
        &self,
        kind: ItemKind,
        name: &str,
        octets: &[u8],
    ) -> Result<Item, Rejection> {
        let name = name
            .parse()
            .map_err(|_| FaultCause::Corrupt("an item's name"))?;
        let item = Item {
            epoch: 0,
            kind,
            length: octets.len() as u64,
            name,
            sha256: Digest::of(octets),
        };
        let path = item_path(self.directory(), item.sha256);
        if !path.exists() {
            file::replace(&path, octets).map_err(fault)?;
        }
        Ok(item)
    }

    /// The published list of an issuer, its filter and the filter's delta, on the shelf.
    pub(super) fn status_items(&self, issuer: &Issuer) -> Result<Vec<Item>, Rejection> {
        let mut items = Vec::new();
        if let Some(list) = self.published_list(&issuer.name, List::Full) {
            let path = crl_path(self.directory(), issuer.name.as_str(), List::Full);
            let epoch = list.epoch.unwrap_or(0);
            items.push(self.shelve_file(ItemKind::Crl, &issuer.name, list.number, epoch, &path)?);
        }
        if issuer.kind != IssuerKind::Issuing {
            return Ok(items);
        }
        let Some(filter) = self.published_filter(issuer) else {
            return Ok(items);
        };
        let full = filter.full().sequence();
        let parts = [
            (ItemKind::Filter, FilterPart::Full, full),
            (
                ItemKind::FilterDelta,
                FilterPart::Delta(full),
                filter.sequence(),
            ),
        ];
        for (kind, part, number) in parts {
            if kind == ItemKind::FilterDelta && number == full {
                continue;
            }
            let path = filter_path(self.directory(), issuer.name.as_str(), part);
            let epoch = i64::try_from(filter.epoch()).unwrap_or(0);
            items.push(self.shelve_file(kind, &issuer.name, number, epoch, &path)?);
        }
        Ok(items)
    }

    /// Puts a published file on the shelf, unless it lies there: a second name for the same octets,
    /// which stay when the published name goes over to newer ones. The number was read before the
    /// file is, so the file may be newer than it says, and then it is shelved once more.
    fn shelve_file(
        &self,
        kind: ItemKind,
        name: &Slug,
        number: u64,
        epoch: i64,
        path: &Path,
    ) -> Result<Item, Rejection> {
        let key = (kind, name.clone());
        let shelf = &self.feeds().shelf;
        let known = {
            let files = shelf.files.lock();
            files.get(&key).cloned()
        };
        if let Some((last, item)) = known
            && last == number
            && item_path(self.directory(), item.sha256).exists()
        {
            return Ok(item);
        }
        let (sha256, length) = link(self.directory(), path).map_err(fault)?;
        let item = Item {
            epoch,
            kind,
            length,
            name: name.clone(),
            sha256,
        };
        let mut files = shelf.files.lock();
        files.insert(key, (number, item.clone()));
        Ok(item)
    }

    /// Takes from the shelf what no offer names.
    pub(super) async fn clear_shelf(&self) -> Result<(), Rejection> {
        let now = self.clock().now();
        {
            let shelf = &self.feeds().shelf;
            let mut cleared = shelf.cleared.lock();
            if cleared.is_some_and(|at| at <= now && now < at.plus(CLEAR_EVERY_S)) {
                return Ok(());
            }
            *cleared = Some(now);
        }
        let notes = self
            .store()
            .read::<_, StoreError, _>(feed::every_note)
            .await?;
        let named: HashSet<String> = notes
            .iter()
            .filter_map(|note| manifest_of(note))
            .flat_map(|manifest| manifest.items)
            .map(|item| item.sha256.to_string())
            .collect();
        let directory = self.directory().join("feed");
        let clear = move || -> io::Result<()> {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let is_named = named.contains(&*entry.file_name().to_string_lossy());
                if !is_named {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        tokio::task::spawn_blocking(clear)
            .await
            .map_err(|_| FaultCause::Corrupt("feed: the clearing thread died"))?
            .map_err(fault)?;
        Ok(())
    }
}

/// Gives a published file a second name, that of its hash; the hash and the length.
fn link(directory: &Path, path: &Path) -> io::Result<(Digest, u64)> {
    let shelf = directory.join("feed");
    fs::create_dir_all(&shelf)?;
    let draft = shelf.join(".new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Not every file system knows second names.
    if fs::hard_link(path, &draft).is_err() {
        fs::copy(path, &draft)?;
    }
    let octets = fs::read(&draft)?;
    let hash = Digest::of(&octets);
    fs::rename(&draft, item_path(directory, hash))?;
    Ok((hash, octets.len() as u64))
}
