//! Hooks: what must hold of one, and its secret, which is sealed under the key of messages and leaves
//! the house only with what is sent.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tenure_domain::Refusal;
use tenure_domain::change::{Edit, HookSecret};
use tenure_domain::hook::{AGAIN_AFTER_S, Hidden, Hook, HookKind, SecretNeed};
use tenure_domain::ids::{EventSeq, Slug};
use tenure_domain::operator::Actor;
use tenure_store::hook::{self, Known, Place, PutSecret, Refused};
use tenure_store::{registry, trust_change};
use tenure_x509::Time;
use zeroize::Zeroizing;

use crate::change::Changed;
use crate::fault::{FaultCause, Rejection};
use crate::revoke::Conflict;
use crate::signer::Key;
use crate::{Engine, chance};

/// The name of the key of messages.
pub const MESSAGES: &str = "messages";

const LABEL: &[u8] = b"secrets of hooks";
/// Longest secret of a receiver, in bytes.
const SECRET_BYTES_MAX: usize = 4_096;
/// Longest topic or audience, in bytes.
const TEXT_BYTES_MAX: usize = 512;

impl Engine {
    /// The key that signs messages; none if it is not at hand.
    pub fn messages_key(&self) -> Option<Key> {
        self.key(MESSAGES)
    }

    pub(crate) async fn put_hook(
        &self,
        actor: &Actor,
        edit: Edit<Hook>,
        secret: HookSecret,
        now: Time,
    ) -> Result<Changed, Rejection> {
        let hook = &edit.to;
        is_fit(hook)?;
        let tenant = self.tenant();
        let known = self
            .store()
            .glance(|tx| hook::by_name(tx, tenant, hook.name.as_str()))?;
        let same_kind = known.filter(|known| known.hook.kind == hook.kind);
        let (given, fresh) = chosen(hook, secret, same_kind.as_ref())?;
        let sealed = match &given {
            Given::Keep => None,
            Given::None => Some(Vec::new()),
            Given::This(secret) => Some(self.seal_secret(&hook.name, secret)?),
        };
        let (by, edit) = (actor.clone(), Arc::new(edit));
        let put = self
            .record_as(actor, move |tx| {
                let secret = match &sealed {
                    None => PutSecret::Keep,
                    Some(sealed) => PutSecret::New(sealed),
                };
                let found = hook::by_name(tx, tenant, edit.to.name.as_str())?;
                let hook = edit.over(found.map(|known| known.hook).as_ref())?;
                let put = hook::put(tx, hook, secret, &by, now)?;
                if put == registry::Put::Unchanged {
                    tx.excuse("it already is as wanted");
                }
                Ok(put)
            })
            .await?;
        self.ring_hooks();
        Ok(Changed::Hook { put, fresh })
    }

    pub(crate) async fn remove_hook(
        &self,
        actor: &Actor,
        name: Slug,
        now: Time,
    ) -> Result<Changed, Rejection> {
        let by = actor.clone();
        self.record_as(actor, move |tx| {
            let gone = hook::remove(tx, name.as_str(), &by, now)?;
            gone.map(|_| ()).ok_or_else(|| {
                Conflict::from(Refusal::NotFound {
                    what: format!("hook {name}"),
                })
            })
        })
        .await?;
        self.ring_hooks();
        Ok(Changed::Done)
    }

    pub(crate) async fn set_hook_back(
        &self,
        actor: &Actor,
        name: Slug,
        after: EventSeq,
        now: Time,
    ) -> Result<Changed, Rejection> {
        let by = actor.clone();
        self.record_as(actor, move |tx| {
            let head = trust_change::head(tx)?;
            if !(0..=head.0).contains(&after.0) {
                let what = format!("after: the record has the events 1 to {head}");
                return Err(Refusal::BadRequest { what }.into());
            }
            let back = hook::set_back(tx, name.as_str(), after, &by, now)?;
            back.map(|_| ()).ok_or_else(|| {
                Conflict::from(Refusal::NotFound {
                    what: format!("hook {name}"),
                })
            })
        })
        .await?;
        // Its courier begins anew from where it was set back to.
        self.ring_hooks();
        Ok(Changed::Done)
    }

    /// The secret of a hook, in clear; none for one without.
    pub fn hook_secret(&self, known: &Known) -> Result<Option<Zeroizing<String>>, Rejection> {
        if known.sealed.is_empty() {
            return Ok(None);
        }
        let unreadable = || FaultCause::Corrupt("hook's secret: give it again");
        let (nonce, sealed) = known
            .sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or_else(unreadable)?;
        let key = self.sealing_key()?;
        let mut octets = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(known.hook.name.as_str().as_bytes());
        let clear = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut octets)
            .map_err(|_| unreadable())?;
        let clear = String::from_utf8(clear.to_vec()).map_err(|_| unreadable())?;
        Ok(Some(Zeroizing::new(clear)))
    }

    /// Keeps how far a hook has come.
    pub async fn keep_hook_place(
        &self,
        known: &Known,
        place: Place,
        refused: Option<Refused>,
    ) -> Result<(), Rejection> {
        Ok(self
            .store()
            .keep_hook_place(known.no, place, refused)
            .await?)
    }

    fn seal_secret(&self, name: &Slug, secret: &Hidden) -> Result<Vec<u8>, Rejection> {
        let key = self.sealing_key()?;
        let nonce = chance::bytes::<NONCE_LEN>()?;
        let mut octets = secret.0.as_bytes().to_vec();
        let aad = Aad::from(name.as_str().as_bytes());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut octets)
            .map_err(|_| FaultCause::Corrupt("key that seals secrets"))?;
        let mut sealed = nonce.to_vec();
        sealed.extend(octets);
        Ok(sealed)
    }

    fn sealing_key(&self) -> Result<LessSafeKey, Rejection> {
        let octets = self
            .messages_key()
            .and_then(|key| key.sealing(LABEL))
            .ok_or_else(|| Refusal::Conflict {
                what: format!(
                    "the key {MESSAGES} is not at hand, and secrets of hooks are sealed with it; \
                     `tenure serve` makes it when the directory of keys can be written"
                ),
            })?;
        let key = UnboundKey::new(&AES_256_GCM, &*octets)
            .map_err(|_| FaultCause::Corrupt("key that seals secrets"))?;
        Ok(LessSafeKey::new(key))
    }
}

/// What becomes of the secret in the store.
enum Given {
    Keep,
    None,
    This(Hidden),
}

/// What a hook's secret is to be, and what of it is to be shown once.
fn chosen(
    hook: &Hook,
    secret: HookSecret,
    known: Option<&Known>,
) -> Result<(Given, Option<Hidden>), Rejection> {
    let bad = |what: String| Err(Rejection::from(Refusal::BadRequest { what }));
    let has_one = known.is_some_and(|known| !known.sealed.is_empty());
    match (hook.kind.secret(), secret) {
        (SecretNeed::Made, HookSecret::Given(_)) => {
            bad("the secret of a webhook is made here; leave it out".to_owned())
        }
        (SecretNeed::Made, HookSecret::Keep) if has_one => Ok((Given::Keep, None)),
        (SecretNeed::Made, HookSecret::Keep | HookSecret::Fresh) => {
            let secret = Hidden(format!("whsec_{}", STANDARD.encode(chance::bytes::<32>()?)));
            Ok((Given::This(secret.clone()), Some(secret)))
        }
        (_, HookSecret::Fresh) => {
            bad("only the secret of a webhook is made here; give the receiver's".to_owned())
        }
        (_, HookSecret::Keep) if has_one => Ok((Given::Keep, None)),
        (SecretNeed::Optional(_), HookSecret::Keep) => Ok((Given::None, None)),
        (SecretNeed::Required(what), HookSecret::Keep) => {
            bad(format!("secret: this kind of hook needs {what}"))
        }
        (_, HookSecret::Given(given)) => {
            let wants_pair = hook.kind != HookKind::Caep;
            let is_fit = (1..=SECRET_BYTES_MAX).contains(&given.0.len())
                && !given.0.chars().any(char::is_control)
                && (!wants_pair || given.0.contains(':'));
            match (is_fit, hook.kind.secret()) {
                (true, _) => Ok((Given::This(given), None)),
                (false, SecretNeed::Required(what) | SecretNeed::Optional(what)) => {
                    bad(format!("secret: it must be {what}, on one line"))
                }
                (false, SecretNeed::Made) => bad("secret: it is made here".to_owned()),
            }
        }
    }
}

fn is_fit(hook: &Hook) -> Result<(), Refusal> {
    let bad = |what: String| Err(Refusal::BadRequest { what });
    if let Err(error) = hook.check_address() {
        return bad(format!("address: {error}"));
    }
    let read = tenure_x509::pem_certificates(&hook.anchors_pem);
    if !hook.anchors_pem.is_empty() && !read.is_ok_and(|found| !found.is_empty()) {
        return bad("anchors_pem must be one or more certificates in PEM, or empty".to_owned());
    }
    if !AGAIN_AFTER_S.contains(&hook.again_after_s) {
        let (least, most) = (AGAIN_AFTER_S.start(), AGAIN_AFTER_S.end());
        return bad(format!("again_after_s must be between {least} and {most}"));
    }
    let texts = [("topic", &hook.topic), ("audience", &hook.audience)];
    for (field, text) in texts {
        if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            return bad(format!(
                "{field} must be one line of at most {TEXT_BYTES_MAX} bytes"
            ));
        }
    }
    if hook.topic.contains(['#', '+']) {
        return bad("topic: a topic to publish to has no wildcard".to_owned());
    }
    Ok(())
}
