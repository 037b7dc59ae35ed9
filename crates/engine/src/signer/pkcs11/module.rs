//! PKCS#11 libraries, loaded once for the life of the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::signer::keyring::TokenError;

/// Unloading a library whose sessions may still be closing is not worth its risk, and C_Initialize
/// must happen once for all keys: a module stays here until the process ends.
static LOADED: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

/// A loaded and initialised library.
pub(super) struct Module {
    pkcs11: Pkcs11,
    /// Held while a session is opened, never while one signs.
    opening: Mutex<Refused>,
    /// Counts the times that the library was initialised anew.
    epoch: AtomicU64,
}

/// PINs that a token refused, with its label. Tokens lock themselves after a few wrong ones, so
/// none is tried twice, whichever key asks.
type Refused = Vec<(String, Zeroizing<String>)>;

impl Module {
    /// Loads a library, or gives the one that is loaded.
    pub(super) fn load(path: &Path) -> Result<Arc<Module>, TokenError> {
        let fail = |why: String| TokenError::Module {
            path: path.to_owned(),
            why,
        };
        if !path.is_absolute() {
            return Err(fail("its path is not absolute".to_owned()));
        }
        let mut loaded = LOADED.lock();
        if let Some(module) = loaded.get(path) {
            return Ok(Arc::clone(module));
        }
        let pkcs11 = Pkcs11::new(path).map_err(|error| fail(error.to_string()))?;
        initialize(&pkcs11).map_err(|error| fail(error.to_string()))?;
        let module = Arc::new(Module {
            pkcs11,
            opening: Mutex::default(),
            epoch: AtomicU64::new(0),
        });
        loaded.insert(path.to_owned(), Arc::clone(&module));
        Ok(module)
    }

    /// Opens a session with a token and logs in.
    pub(super) fn session(
        self: &Arc<Self>,
        token: &str,
        pin: &Zeroizing<String>,
        access: Access,
    ) -> Result<Live, Opening> {
        let mut refused = self.opening.lock();
        let slot = self.slot(token)?;
        let session = match access {
            Access::Sign => self.pkcs11.open_ro_session_no_drop(slot)?,
            Access::Make => self.pkcs11.open_rw_session_no_drop(slot)?,
        };
        let live = Live {
            session: Some(session),
            epoch: self.epoch.load(Ordering::SeqCst),
            module: Arc::clone(self),
        };
        if self.pkcs11.get_token_info(slot)?.login_required() {
            log_in(&live, token, pin, &mut refused)?;
        }
        Ok(live)
    }

    fn slot(&self, token: &str) -> Result<Slot, Opening> {
        let slots = match self.pkcs11.get_slots_with_initialized_token() {
            // Some libraries forget everything with their network connection.
            Err(Error::Pkcs11(RvError::CryptokiNotInitialized, _)) => {
                self.epoch.fetch_add(1, Ordering::SeqCst);
                initialize(&self.pkcs11)?;
                self.pkcs11.get_slots_with_initialized_token()
            }
            slots => slots,
        }?;
        for slot in slots {
            // A token may be pulled out between the list and the look.
            let Ok(found) = self.pkcs11.get_token_info(slot) else {
                continue;
            };
            if found.label().trim_end() == token {
                return Ok(slot);
            }
        }
        Err(Opening::Failed(TokenError::NoToken {
            token: token.to_owned(),
        }))
    }
}

/// An open session. It is closed when dropped, unless the library has forgotten it: the library may
/// have given its number to another one since.
pub(super) struct Live {
    /// There until dropped.
    session: Option<Session>,
    epoch: u64,
    module: Arc<Module>,
}

impl Live {
    /// The session, if the library still knows it.
    pub(super) fn get(&self) -> Result<&Session, TokenError> {
        match &self.session {
            Some(session) if self.is_known() => Ok(session),
            _ => Err(TokenError::Call {
                why: "its library was reset".to_owned(),
            }),
        }
    }

    fn is_known(&self) -> bool {
        self.epoch == self.module.epoch.load(Ordering::SeqCst)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(session) = self.session.take().filter(|_| self.is_known()) {
            let _ = session.close(); // one that the token closed already is as well
        }
    }
}

fn log_in(
    live: &Live,
    token: &str,
    pin: &Zeroizing<String>,
    refused: &mut Refused,
) -> Result<(), Opening> {
    let fail = |why: &str| {
        let (token, why) = (token.to_owned(), why.to_owned());
        Err(Opening::Failed(TokenError::PinRefused { token, why }))
    };
    let before = |(of, wrong): &(String, Zeroizing<String>)| of == token && wrong == pin;
    if refused.iter().any(before) {
        return fail("it did so before");
    }
    let session = live.get().map_err(Opening::Failed)?;
    match session.login(UserType::User, Some(&AuthPin::from(pin.as_str()))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(
            error @ (RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinExpired
            | RvError::PinLocked),
            _,
        )) => {
            refused.push((token.to_owned(), pin.clone()));
            fail(&error.to_string())
        }
        Err(error) => Err(error.into()),
    }
}

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Sign,
    Make,
}

/// Why a session does not open.
pub(super) enum Opening {
    /// The token has no more sessions to give; one that is in use may come back.
    NoneLeft,
    /// Anything else.
    Failed(TokenError),
}

impl From<Error> for Opening {
    fn from(error: Error) -> Opening {
        match error {
            Error::Pkcs11(RvError::SessionCount, _) => Opening::NoneLeft,
            error => Opening::Failed(call(error)),
        }
    }
}

impl From<Opening> for TokenError {
    fn from(opening: Opening) -> TokenError {
        match opening {
            Opening::NoneLeft => TokenError::Call {
                why: "it has no session left".to_owned(),
            },
            Opening::Failed(error) => error,
        }
    }
}

/// A call that failed.
pub(super) fn call(error: Error) -> TokenError {
    TokenError::Call {
        why: error.to_string(),
    }
}

fn initialize(pkcs11: &Pkcs11) -> Result<(), Error> {
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        done => done,
    }
}
