//! The pool, with numbers for sessions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::*;

fn failed() -> TokenError {
    TokenError::Call {
        why: "reset".to_owned(),
    }
}

#[test]
fn sessions_are_used_again_and_never_more_than_the_limit() {
    let pool = Pool::new(0);
    let (opened, held, most) = (
        AtomicUsize::new(1),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    thread::scope(|scope| {
        for _ in 0..3 * SESSIONS_MAX {
            scope.spawn(|| {
                for _ in 0..20 {
                    let open = || Ok(opened.fetch_add(1, Ordering::SeqCst));
                    let work = |_: &usize| {
                        most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        held.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    };
                    pool.with(open, work).unwrap();
                }
            });
        }
    });
    assert!(most.into_inner() <= SESSIONS_MAX);
    assert!(opened.into_inner() <= SESSIONS_MAX);
    let state = pool.state.lock();
    assert_eq!(state.out, 0);
    assert!(state.idle.len() <= SESSIONS_MAX);
}

#[test]
fn a_failed_call_is_tried_again_with_a_new_session() {
    let pool = Pool::new(0);
    let next = AtomicUsize::new(1);
    let open = || Ok(next.fetch_add(1, Ordering::SeqCst));
    let fresh = |session: &usize| {
        if *session == 0 {
            Err(failed())
        } else {
            Ok(*session)
        }
    };
    assert_eq!(pool.with(open, fresh), Ok(1));
    assert_eq!(pool.with(open, fresh), Ok(1), "and the new one stays");
    let tries = AtomicUsize::new(0);
    let never = |_: &usize| -> Result<(), TokenError> {
        tries.fetch_add(1, Ordering::SeqCst);
        Err(failed())
    };
    assert_eq!(pool.with(open, never), Err(failed()));
    assert_eq!(tries.into_inner(), TRIES);
    assert!(pool.state.lock().idle.is_empty());
}

#[test]
fn a_session_that_was_out_when_all_were_thrown_away_does_not_come_back() {
    let pool = Arc::new(Pool::new(0));
    let (in_use, thrown) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let holder = {
        let (pool, in_use, thrown) = (pool.clone(), in_use.clone(), thrown.clone());
        thread::spawn(move || {
            let work = |session: &usize| {
                in_use.wait();
                thrown.wait();
                Ok(*session)
            };
            pool.with(|| Ok(9), work).unwrap()
        })
    };
    in_use.wait();
    let fails_on_1 = |session: &usize| {
        if *session == 1 {
            Err(failed())
        } else {
            Ok(*session)
        }
    };
    let next = AtomicUsize::new(1);
    let open = || Ok(next.fetch_add(1, Ordering::SeqCst));
    assert_eq!(pool.with(open, fails_on_1), Ok(2));
    thrown.wait();
    assert_eq!(holder.join().unwrap(), 0);
    assert_eq!(pool.state.lock().idle, [2]);
}

#[test]
fn a_token_with_few_sessions_is_waited_for() {
    let pool = Pool::new(0);
    let opened = AtomicUsize::new(1);
    let open = || {
        let took = opened.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |opened| {
            (opened < 2).then_some(opened + 1)
        });
        took.map_err(|_| Opening::NoneLeft)
    };
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..20 {
                    pool.with(open, |_| {
                        thread::yield_now();
                        Ok(())
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(pool.state.lock().out, 0);
    // with none of ours to wait for, it is an error and not a wait
    let empty: Pool<usize> = Pool::new(0);
    empty.state.lock().idle.clear();
    let error = empty
        .with(|| Err(Opening::NoneLeft), |_| Ok(()))
        .unwrap_err();
    assert!(error.to_string().contains("no session left"), "{error}");
}

#[test]
fn a_panic_gives_the_turn_back() {
    let pool = Pool::new(0);
    for _ in 0..2 * SESSIONS_MAX {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            pool.with(
                || Ok(1),
                |_| -> Result<(), TokenError> { panic!("in the middle") },
            )
        }));
        assert!(panicked.is_err());
    }
    assert_eq!(pool.with(|| Ok(1), |session| Ok(*session)), Ok(1));
}
