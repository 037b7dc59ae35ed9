//! Keys in tokens, as far as this program was built for them.

use std::sync::Arc;

use tenure_x509::KeyKind;

use super::super::Signer;
use super::{KeyringError, Passphrase, TokenError, TokenKey};

type Opened = Result<Arc<dyn Signer>, KeyringError>;

pub(super) fn open(name: &str, place: &TokenKey, passphrase: &Passphrase) -> Opened {
    try_open(place, passphrase).map_err(failed(name))
}

pub(super) fn find_or_make(
    name: &str,
    place: &TokenKey,
    kind: KeyKind,
    passphrase: &Passphrase,
) -> Opened {
    try_find_or_make(place, kind, passphrase).map_err(failed(name))
}

fn failed(name: &str) -> impl FnOnce(TokenError) -> KeyringError {
    let key = name.to_owned();
    move |source| KeyringError::Token { key, source }
}

#[cfg(feature = "pkcs11")]
fn try_open(place: &TokenKey, passphrase: &Passphrase) -> Result<Arc<dyn Signer>, TokenError> {
    use crate::signer::pkcs11::Pkcs11Signer;
    Ok(Arc::new(Pkcs11Signer::open(
        place,
        place.pin.read(passphrase)?,
    )?))
}

#[cfg(feature = "pkcs11")]
fn try_find_or_make(
    place: &TokenKey,
    kind: KeyKind,
    passphrase: &Passphrase,
) -> Result<Arc<dyn Signer>, TokenError> {
    use crate::signer::pkcs11::Pkcs11Signer;
    Ok(Arc::new(Pkcs11Signer::find_or_make(
        place,
        kind,
        place.pin.read(passphrase)?,
    )?))
}

#[cfg(not(feature = "pkcs11"))]
fn try_open(_: &TokenKey, _: &Passphrase) -> Result<Arc<dyn Signer>, TokenError> {
    Err(TokenError::NotBuilt)
}

#[cfg(not(feature = "pkcs11"))]
fn try_find_or_make(
    _: &TokenKey,
    _: KeyKind,
    _: &Passphrase,
) -> Result<Arc<dyn Signer>, TokenError> {
    Err(TokenError::NotBuilt)
}
