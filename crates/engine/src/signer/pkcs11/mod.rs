//! A key in a PKCS#11 token: a hardware security module, or SoftHSM.
//!
//! The private half never leaves the token. What a token signs is always verified before it is
//! used: tokens fail too, and one bad RSA signature gives its key away.

mod encoding;
mod module;
mod pool;

use std::sync::Arc;

use aws_lc_rs::{digest, rand};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use tenure_store::certificate::Check;
use tenure_x509::{KeyKind, PublicKey, SignatureAlgorithm};
use zeroize::Zeroizing;

use self::module::{Access, Live, Module, Opening, call};
use self::pool::Pool;
use super::keyring::{TokenError, TokenKey};
use super::{SignError, Signer};

/// A key in a token.
pub(crate) struct Pkcs11Signer {
    module: Arc<Module>,
    place: TokenKey,
    pin: Zeroizing<String>,
    public: PublicKey,
    pool: Pool<Opened>,
}

/// An open session and the key as it is called there.
struct Opened {
    session: Live,
    key: ObjectHandle,
}

impl Pkcs11Signer {
    /// Finds a key by its label.
    pub(crate) fn open(
        place: &TokenKey,
        pin: Zeroizing<String>,
    ) -> Result<Pkcs11Signer, TokenError> {
        let module = Module::load(&place.module)?;
        let first = open_session(&module, place, &pin)?;
        let public = find_public(&first, &place.label)?;
        let place = place.clone();
        Ok(Pkcs11Signer {
            module,
            place,
            pin,
            public,
            pool: Pool::new(first),
        })
    }

    /// Finds a key by its label, or makes one that cannot leave the token.
    pub(crate) fn find_or_make(
        place: &TokenKey,
        kind: KeyKind,
        pin: Zeroizing<String>,
    ) -> Result<Pkcs11Signer, TokenError> {
        let module = Module::load(&place.module)?;
        let live = module.session(&place.token, &pin, Access::Make)?;
        let session = live.get()?;
        let key = match find_private(session, &place.label) {
            Err(TokenError::NoKey { .. }) => generate(session, &place.label, kind)?,
            found => found?,
        };
        refuse_extractable(session, key, &place.label)?;
        let signer = Pkcs11Signer::open(place, pin)?;
        let found = signer.public.algorithm();
        if !encoding::is_kind(found, kind) {
            let label = place.label.clone();
            return Err(TokenError::OtherKind {
                label,
                wanted: kind,
                found,
            });
        }
        Ok(signer)
    }

    fn call(&self, mechanism: &Mechanism<'_>, octets: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pool
            .with(
                || open_session(&self.module, &self.place, &self.pin),
                |Opened { session, key }| {
                    let signed = session.get()?.sign(mechanism, *key, octets);
                    signed.map_err(call)
                },
            )
            .map_err(|error| SignError::Device {
                why: error.to_string(),
            })
    }
}

impl Signer for Pkcs11Signer {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.public.algorithm().default_signature()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self.algorithm().digest() {
            Some(hash) => self.sign_digest(digest::digest(hash, message).as_ref()),
            None => {
                let scheme = EddsaParams::new(EddsaSignatureScheme::Ed25519);
                self.call(&Mechanism::Eddsa(scheme), message)
            }
        }
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignError> {
        let hash = self.algorithm().digest().ok_or(SignError::NoDigest)?;
        let nonsense = |what: &str| SignError::Device {
            why: format!("{what} of the wrong length"),
        };
        if digest.len() != hash.output_len() {
            return Err(nonsense("a digest"));
        }
        match encoding::digest_info(self.algorithm(), digest) {
            Some(digest_info) => self.call(&Mechanism::RsaPkcs, &digest_info),
            None => {
                let halves = self.call(&Mechanism::Ecdsa, digest)?;
                encoding::ecdsa_signature(&halves).ok_or_else(|| nonsense("a signature"))
            }
        }
    }

    fn check(&self) -> Check {
        Check::Every
    }

    fn blocks(&self) -> bool {
        true
    }
}

fn open_session(
    module: &Arc<Module>,
    place: &TokenKey,
    pin: &Zeroizing<String>,
) -> Result<Opened, Opening> {
    let session = module.session(&place.token, pin, Access::Sign)?;
    let found = session
        .get()
        .and_then(|session| find_private(session, &place.label));
    let key = found.map_err(Opening::Failed)?;
    Ok(Opened { session, key })
}

fn find_private(session: &Session, label: &str) -> Result<ObjectHandle, TokenError> {
    let wanted = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Token(true),
        Attribute::Label(label.into()),
    ];
    match *session.find_objects(&wanted).map_err(call)? {
        [key] => Ok(key),
        [] => Err(TokenError::NoKey {
            label: label.to_owned(),
        }),
        _ => Err(TokenError::SeveralKeys {
            label: label.to_owned(),
        }),
    }
}

/// The public half: from the public key object that goes with the private one, or from the private
/// one itself where a token keeps no other.
fn find_public(opened: &Opened, label: &str) -> Result<PublicKey, TokenError> {
    let (session, key) = (opened.session.get()?, opened.key);
    let mut wanted = vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::Token(true),
    ];
    let ids = session
        .get_attributes(key, &[AttributeType::Id])
        .map_err(call)?;
    match ids.into_iter().next() {
        Some(Attribute::Id(id)) if !id.is_empty() => wanted.push(Attribute::Id(id)),
        _ => wanted.push(Attribute::Label(label.into())),
    }
    let mut places = session.find_objects(&wanted).map_err(call)?;
    places.push(key);
    places
        .into_iter()
        .find_map(|object| read_public(session, object))
        .ok_or(TokenError::Nonsense { what: "public key" })
}

fn read_public(session: &Session, object: ObjectHandle) -> Option<PublicKey> {
    let read = |types: [AttributeType; 2]| -> Option<(Vec<u8>, Vec<u8>)> {
        let (mut first, mut second) = (None, None);
        for attribute in session.get_attributes(object, &types).ok()? {
            match attribute {
                Attribute::EcParams(value) | Attribute::Modulus(value) => first = Some(value),
                Attribute::EcPoint(value) | Attribute::PublicExponent(value) => {
                    second = Some(value);
                }
                _ => {}
            }
        }
        first.zip(second)
    };
    if let Some((params, point)) = read([AttributeType::EcParams, AttributeType::EcPoint]) {
        return encoding::elliptic_public(&params, &point);
    }
    let (modulus, exponent) = read([AttributeType::Modulus, AttributeType::PublicExponent])?;
    encoding::rsa_public(&modulus, &exponent)
}

/// Refuses a private key that the token says it would give away.
fn refuse_extractable(session: &Session, key: ObjectHandle, label: &str) -> Result<(), TokenError> {
    let types = [AttributeType::Extractable, AttributeType::Sensitive];
    let attributes = session.get_attributes(key, &types).map_err(call)?;
    let open = [Attribute::Extractable(true), Attribute::Sensitive(false)];
    if attributes.iter().any(|attribute| open.contains(attribute)) {
        return Err(TokenError::Extractable {
            label: label.to_owned(),
        });
    }
    Ok(())
}

fn generate(session: &Session, label: &str, kind: KeyKind) -> Result<ObjectHandle, TokenError> {
    let mut id = [0; 16];
    rand::fill(&mut id).map_err(|_| TokenError::Call {
        why: "no randomness".to_owned(),
    })?;
    let names = [
        Attribute::Token(true),
        Attribute::Label(label.into()),
        Attribute::Id(id.into()),
    ];
    let mut private = names.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]);
    let mut last = None;
    for (mechanism, parameters) in ways_to_generate(kind) {
        let mut public = names.to_vec();
        public.extend([Attribute::Private(false), Attribute::Verify(true)]);
        public.extend(parameters);
        match session.generate_key_pair(&mechanism, &public, &private) {
            Ok((_, key)) => return Ok(key),
            Err(error) => last = Some(error),
        }
    }
    let why = last.map_or_else(String::new, |error| error.to_string());
    Err(TokenError::Unsupported {
        kind: kind.to_string(),
        why,
    })
}

/// Mechanisms with what the public key's template says of the kind, the usual way first.
fn ways_to_generate(kind: KeyKind) -> Vec<(Mechanism<'static>, Vec<Attribute>)> {
    let rsa = |bits: u32| {
        // 2048 to 4096 fits any CK_ULONG
        let bits = Attribute::ModulusBits(u64::from(bits).into());
        vec![(
            Mechanism::RsaPkcsKeyPairGen,
            vec![bits, Attribute::PublicExponent(vec![1, 0, 1])],
        )]
    };
    match kind {
        KeyKind::Rsa2048 => rsa(2048),
        KeyKind::Rsa3072 => rsa(3072),
        KeyKind::Rsa4096 => rsa(4096),
        KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 => encoding::curve_names(kind)
            .iter()
            .map(|name| {
                let mechanism = match kind {
                    KeyKind::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
                    _ => Mechanism::EccKeyPairGen,
                };
                (mechanism, vec![Attribute::EcParams(name.to_vec())])
            })
            .collect(),
    }
}
