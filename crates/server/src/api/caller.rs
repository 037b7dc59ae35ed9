//! Who is calling: a bearer token, looked up by its hash in each request. Nothing is cached, so a
//! withdrawn token is refused at once; the lookup reads one row.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use hyper::HeaderMap;
use hyper::header;
use tenure_domain::ids::{OperatorNo, Slug};
use tenure_domain::operator::{Actor, Role, Token};
use tenure_engine::store::token;

use super::Desk;
use crate::problem::Problem;

/// Longest token looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// An operator whose token works.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token's row.
    pub no: OperatorNo,
    /// The token's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The relying party that it is bound to, for that role.
    pub party: Option<Slug>,
}

impl Caller {
    /// The caller of a request to the API.
    ///
    /// # Errors
    /// 401 without a token, and with one that is unknown, expired or withdrawn; the answer is the
    /// same for all of them.
    pub fn of(desk: &Desk, headers: &HeaderMap) -> Result<Caller, Problem> {
        let token = bearer(headers).ok_or_else(Problem::unauthorized)?;
        Caller::with_token(desk, token)
    }

    /// The operator who holds a token.
    ///
    /// # Errors
    /// 401 if it is unknown, expired or withdrawn.
    pub fn with_token(desk: &Desk, token: &str) -> Result<Caller, Problem> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Problem::unauthorized());
        }
        let hash = tenure_x509::sha256(token.as_bytes());
        let found = desk.peek(|tx| token::by_hash(tx, &hash))?;
        Caller::if_valid(desk, found)
    }

    /// The operator behind a token's row, if the token still works.
    ///
    /// # Errors
    /// 401 if it is expired or withdrawn, or there is none.
    pub fn if_valid(desk: &Desk, token: Option<Token>) -> Result<Caller, Problem> {
        let token = token.ok_or_else(Problem::unauthorized)?;
        if !token.works(desk.now()) {
            return Err(Problem::unauthorized());
        }
        Ok(Caller {
            no: token.no,
            name: token.name,
            role: token.role,
            party: token.party,
        })
    }

    /// The caller as the record knows it.
    pub fn actor(&self) -> Actor {
        Actor::Operator {
            name: self.name.clone(),
            no: self.no,
            role: self.role,
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        // The guard puts it there; a handler that asks for it on an open route is a defect.
        parts
            .extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(Problem::internal)
    }
}
