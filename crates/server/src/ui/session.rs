//! Who looks at a page. A session is a random name in a cookie and a row in memory: a restart loses
//! it, and nobody can make one up. It holds the number of a token, which is looked up again for each
//! page, so that a withdrawn token ends its sessions at once.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method};
use parking_lot::Mutex;
use tenure_domain::ids::OperatorNo;
use tenure_domain::operator::Permission;
use tenure_engine::store::token;
use tenure_x509::Time;

use super::Ui;
use super::fault::Fault;
use super::page::query;
use crate::api::{Caller, Desk};
use crate::problem::Problem;

/// The cookie's name; the prefix has browsers refuse it without `Secure`, or from another host.
const COOKIE: &str = "__Host-tenure";
/// How long a session lasts, in seconds.
pub(super) const LIFE_S: i64 = 12 * 3_600;
/// Most sessions kept; the one that ends first makes room.
const SESSIONS_MAX: usize = 4_096;

struct Session {
    token: OperatorNo,
    csrf: String,
    until: Time,
}

/// The SHA-256 of a session's name: what is in memory cannot be sent as a cookie.
type Key = [u8; 32];

/// The sessions of this process. A cheap handle.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<Key, Session>>>);

/// 256 random bits in hex.
fn random() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Problem::internal())?;
    Ok(tenure_domain::text::hex(&bytes))
}

impl Sessions {
    /// Opens a session for the holder of a token; the value of the cookie to set.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub(super) fn open(&self, caller: &Caller, now: Time) -> Result<HeaderValue, Problem> {
        let (name, csrf) = (random()?, random()?);
        let mut all = self.0.lock();
        all.retain(|_, session| now < session.until);
        if all.len() >= SESSIONS_MAX {
            let first = all.iter().min_by_key(|(_, session)| session.until);
            if let Some(key) = first.map(|(key, _)| *key) {
                all.remove(&key);
            }
        }
        all.insert(
            tenure_x509::sha256(name.as_bytes()),
            Session {
                token: caller.no,
                csrf,
                until: now.plus(LIFE_S),
            },
        );
        cookie(&name, LIFE_S)
    }

    /// Ends a session; the value of the cookie that removes its name from the browser.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn close(&self, who: &SignedIn) -> Result<HeaderValue, Problem> {
        self.0.lock().remove(&who.key);
        cookie("", 0)
    }

    /// Who sent these headers, if a session of theirs is open and its token still works.
    pub(super) fn of(&self, desk: &Desk, headers: &HeaderMap) -> Result<Option<SignedIn>, Problem> {
        let Some(name) = named(headers) else {
            return Ok(None);
        };
        let key = tenure_x509::sha256(name.as_bytes());
        let now = desk.now();
        let found = {
            let mut all = self.0.lock();
            if all.get(&key).is_some_and(|session| session.until <= now) {
                all.remove(&key);
            }
            all.get(&key)
                .map(|session| (session.token, session.csrf.clone()))
        };
        let Some((no, csrf)) = found else {
            return Ok(None);
        };
        let token = desk.glance(|tx| token::by_no(tx, no))?;
        let Ok(caller) = Caller::if_valid(desk, token) else {
            self.0.lock().remove(&key);
            return Ok(None);
        };
        Ok(Some(SignedIn { caller, csrf, key }))
    }
}

fn cookie(value: &str, life_s: i64) -> Result<HeaderValue, Problem> {
    let text =
        format!("{COOKIE}={value}; Path=/; Max-Age={life_s}; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::from_str(&text).map_err(|_| Problem::internal())
}

fn named(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// An operator with an open session.
#[derive(Clone)]
pub(super) struct SignedIn {
    /// The operator.
    pub(super) caller: Caller,
    /// What every form of theirs has to send along.
    pub(super) csrf: String,
    key: Key,
}

impl SignedIn {
    /// Whether they may.
    pub(super) fn may(&self, permission: Permission) -> Result<(), Problem> {
        self.caller.role.may(permission).map_err(Problem::from)
    }
}

impl FromRequestParts<Ui> for SignedIn {
    type Rejection = Response;

    /// Whoever has no session is asked to sign in, and comes back to the page they asked for.
    async fn from_request_parts(parts: &mut Parts, ui: &Ui) -> Result<SignedIn, Response> {
        match ui.sessions.of(&ui.desk, &parts.headers) {
            Ok(Some(who)) => who
                .may(Permission::ReadFleet)
                .map(|()| who)
                .map_err(|problem| Fault::from(problem).into_response()),
            Ok(None) => {
                let back = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                let to = if parts.method == Method::GET && back != "/" {
                    format!("/login{}", query(&[("next", back)]))
                } else {
                    "/login".to_owned()
                };
                Err(Redirect::to(&to).into_response())
            }
            Err(problem) => Err(Fault::from(problem).into_response()),
        }
    }
}
