//! Who waits for whom.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use tenure_store::{Options, ReadTx, StoreError};

use crate::fixture::{House, runtime};

/// A read that goes on until it is let go.
fn held() -> (
    mpsc::Sender<()>,
    impl FnOnce(&ReadTx<'_>) -> Result<(), StoreError> + Clone + Send + 'static,
) {
    let (release, held) = mpsc::channel();
    let held = Arc::new(Mutex::new(held));
    let wait = move |_: &ReadTx<'_>| {
        // An error says that it is let go.
        let _ = held.lock().unwrap().recv();
        Ok(())
    };
    (release, wait)
}

#[test]
fn nobody_waits_for_a_survey_but_another_one() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let (release, wait) = held();
        let survey = |body| {
            let store = house.store.clone();
            tokio::spawn(async move { store.survey::<(), StoreError, _>(body).await })
        };
        let surveys = [survey(wait.clone()), survey(wait)];
        for _ in 0..4 {
            let read = house.store.read::<_, StoreError, _>(|_| Ok(7));
            assert_eq!(read.await.unwrap(), 7);
        }
        assert!(surveys.iter().all(|survey| !survey.is_finished()));
        drop(release);
        for survey in surveys {
            survey.await.unwrap().unwrap();
        }
    });
}

#[test]
fn what_is_urgent_comes_first_and_what_nobody_waits_for_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let one_thread = tokio::runtime::Builder::new_current_thread().build();
    one_thread.unwrap().block_on(async {
        let house = House::new(directory.path()).await;
        let count = Arc::new(AtomicUsize::new(0));
        let ask = |is_urgent: bool| {
            let (store, count) = (house.store.clone(), Arc::clone(&count));
            let body = move |_: &ReadTx<'_>| Ok(count.fetch_add(1, Ordering::SeqCst));
            tokio::spawn(async move {
                match is_urgent {
                    true => store.read_first::<_, StoreError, _>(body).await,
                    false => store.read(body).await,
                }
            })
        };
        let mut busy = Vec::new();
        for _ in 0..Options::default().readers {
            let (store, (release, wait)) = (house.store.clone(), held());
            let reading = tokio::spawn(async move { store.read(wait).await });
            tokio::task::yield_now().await;
            busy.push((release, reading));
        }
        for _ in 0..3 {
            let given_up = ask(false);
            // Now it waits for a thread.
            tokio::task::yield_now().await;
            given_up.abort();
        }
        let last = ask(false);
        tokio::task::yield_now().await;
        let first = ask(true);
        tokio::task::yield_now().await;
        // One thread reads all that waits.
        let (release, reading) = busy.remove(0);
        drop(release);
        reading.await.unwrap().unwrap();
        let order = (first.await.unwrap(), last.await.unwrap());
        assert_eq!(order, (Ok(0), Ok(1)));
        drop(busy);
    });
}
