//! Revocations have no way back: each that the record tells of must still stand in the database.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::api::Api;
use super::super::exit::Failure;

/// How an event is called in its leaf.
const KIND: &str = "certificate-revoked";

/// The serials of certificates that were revoked, as the record tells.
#[derive(Default)]
pub(super) struct Withdrawn(BTreeSet<String>);

impl Withdrawn {
    /// Takes note of a leaf.
    pub(super) fn read(&mut self, leaf: &[u8]) {
        let is_one = std::str::from_utf8(leaf).is_ok_and(|text| text.contains(KIND));
        // Few leaves are, so the others need not be parsed.
        let leaf: Option<Value> = is_one.then(|| serde_json::from_slice(leaf).ok()).flatten();
        let serial = leaf
            .as_ref()
            .and_then(|leaf| leaf.get("event")?.get(KIND)?.get("serial")?.as_str());
        self.0.extend(serial.map(str::to_owned));
    }

    /// Asks the server about all of them.
    pub(super) async fn still_stand(mut self, api: &Api) -> Result<(), Failure> {
        let revoked = [("status", "revoked".to_owned())];
        if !self.0.is_empty() {
            let mut pages = api.every("/certificates", &revoked);
            while let Some(rows) = pages.next().await? {
                for serial in rows.iter().filter_map(|row| row.get("serial")?.as_str()) {
                    self.0.remove(serial);
                }
            }
        }
        // One may have been revoked, and sealed, since its page was read.
        for serial in self.0 {
            let status = match api.get(&format!("/certificates/{serial}")).await {
                Err(Failure::NotFound(_)) => Value::Null,
                answer => answer?["status"].take(),
            };
            if status != "revoked" {
                return Err(Failure::failed(format!(
                    "the record says that certificate {serial} was revoked, and the database does \
                     not: it was changed by another hand. Revoke it again, and find out who writes \
                     to the data directory"
                )));
            }
        }
        Ok(())
    }
}
