//! Sessions with a token, one for each signature under way.
//!
//! A session is the property of one thread while it signs; no lock is held across a call. When a
//! call fails the whole lot is thrown away, since a token that was reset has forgotten them all.

use parking_lot::{Condvar, Mutex};

use super::module::Opening;
use crate::signer::keyring::TokenError;

/// The most sessions with one token for one key. Tokens sign one thing at a time or a few.
const SESSIONS_MAX: usize = 16;

/// How often a call is tried. The second time may meet a session that is lost in the same reset.
const TRIES: usize = 3;

/// The sessions of one key.
pub(super) struct Pool<S> {
    state: Mutex<State<S>>,
    returned: Condvar,
}

struct State<S> {
    idle: Vec<S>,
    /// Sessions that somebody holds or is opening.
    out: usize,
    /// How many there may be, learned from the token when it is fewer.
    most: usize,
    /// Counts the times that all were thrown away; those still out then are not taken back.
    generation: u64,
}

impl<S> Pool<S> {
    /// A pool with its first session.
    pub(super) fn new(first: S) -> Pool<S> {
        let state = State {
            idle: vec![first],
            out: 0,
            most: SESSIONS_MAX,
            generation: 0,
        };
        Pool {
            state: Mutex::new(state),
            returned: Condvar::new(),
        }
    }

    /// Works with a session. If a call fails, all sessions are closed and it is tried again with a
    /// new one: the token may have been reset since.
    pub(super) fn with<R>(
        &self,
        open: impl Fn() -> Result<S, Opening>,
        work: impl Fn(&S) -> Result<R, TokenError>,
    ) -> Result<R, TokenError> {
        for _ in 1..TRIES {
            match self.once(&open, &work) {
                Err(TokenError::Call { .. }) => {}
                done => return done,
            }
        }
        self.once(&open, &work)
    }

    fn once<R>(
        &self,
        open: impl Fn() -> Result<S, Opening>,
        work: impl Fn(&S) -> Result<R, TokenError>,
    ) -> Result<R, TokenError> {
        loop {
            let (turn, idle) = self.turn();
            let opened = match idle.map_or_else(&open, Ok) {
                Ok(opened) => opened,
                Err(Opening::NoneLeft) if turn.wait_for_others() => continue,
                Err(error) => return Err(error.into()),
            };
            let result = work(&opened);
            match &result {
                Ok(_) => turn.give_back(opened),
                Err(_) => turn.throw_away(opened),
            }
            return result;
        }
    }

    /// Waits for the right to hold a session: an idle one, or one to be opened.
    fn turn(&self) -> (Turn<'_, S>, Option<S>) {
        let mut state = self.state.lock();
        loop {
            let idle = state.idle.pop();
            if idle.is_some() || state.out < state.most {
                state.out += 1;
                return (
                    Turn {
                        pool: self,
                        generation: state.generation,
                    },
                    idle,
                );
            }
            self.returned.wait(&mut state);
        }
    }
}

/// The right to hold one session.
struct Turn<'a, S> {
    pool: &'a Pool<S>,
    generation: u64,
}

impl<S> Turn<'_, S> {
    fn give_back(self, opened: S) {
        let mut state = self.pool.state.lock();
        if state.generation == self.generation {
            state.idle.push(opened);
        } // else it is closed here, like its siblings
    }

    fn throw_away(self, opened: S) {
        let mut state = self.pool.state.lock();
        let mut closing = vec![opened];
        if state.generation == self.generation {
            state.generation += 1;
            state.most = SESSIONS_MAX;
            closing.append(&mut state.idle);
        }
        drop(state); // closing asks the token
        drop(closing);
    }

    /// The token has no more sessions: lowers what we ask for to what others hold, if any do.
    fn wait_for_others(&self) -> bool {
        let mut state = self.pool.state.lock();
        let others = state.out - 1; // `out` counts this turn
        if others > 0 {
            state.most = others;
        }
        others > 0
    }
}

impl<S> Drop for Turn<'_, S> {
    fn drop(&mut self) {
        self.pool.state.lock().out -= 1; // counted when this turn was given
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests;
