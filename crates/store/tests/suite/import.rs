//! Importing devices: all or nothing at validation, chunk by chunk afterwards.

use std::path::Path;

use tenure_domain::TenantId;
use tenure_domain::operator::{Actor, Role};
use tenure_store::import::{self, ImportError, Missing, NewImport, NumberedRow, RowChange, Stage};
use tenure_store::{StoreError, Tx, event, registry, token, view};

use crate::fixture::{House, actor, at, id, op, runtime, slug, title};

fn rows(house: &House, count: usize) -> Vec<NumberedRow> {
    (0..count)
        .map(|n| (n as u64 + 2, house.spec(&format!("imported-{n}")).into()))
        .collect()
}

fn new(id: &str, rows: Vec<NumberedRow>) -> NewImport {
    NewImport {
        id: id.to_owned(),
        actor: actor(),
        missing: Missing::Refuse,
        rows,
    }
}

fn devices(house: &House) -> u64 {
    let counts = house
        .store
        .glance(|tx| view::device_counts(tx, TenantId::DEFAULT))
        .unwrap();
    counts.by_standing.values().sum()
}

/// How many rows wait to be applied.
fn kept(directory: &Path) -> i64 {
    let database = rusqlite::Connection::open(directory.join("tenure.db")).unwrap();
    let count = "SELECT count(*) FROM import_row";
    database.query_row(count, [], |row| row.get(0)).unwrap()
}

#[test]
fn wrong_rows_are_named_by_row_and_column_and_nothing_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let mut rows = rows(&house, 5);
        rows[1].1.owner = title("Nobody");
        rows[2].1.services = Some(vec![title("no service")]);
        rows[4].1.id = id("imported-0");
        let events = house.store.glance(event::last).unwrap();
        let refused = house.store.stage_import(new("a", rows), at(5)).await;
        let Err(ImportError::Invalid(errors)) = refused else {
            panic!("{refused:?}")
        };
        let places: Vec<_> = errors
            .iter()
            .map(|error| (error.row, error.column))
            .collect();
        assert_eq!(places, [(3, "owner"), (4, "services"), (6, "id")]);
        assert_eq!(devices(&house), 0);
        assert_eq!(house.store.glance(event::last).unwrap(), events);
    });
}

#[test]
fn an_import_survives_a_crash_between_chunks_and_is_the_same_when_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let all = runtime.block_on(async {
        let house = House::new(directory.path()).await;
        let all = rows(&house, 2_300);
        let state = house
            .store
            .stage_import(new("big", all.clone()), at(5))
            .await
            .unwrap();
        assert_eq!((state.stage, state.applied), (Stage::Applying, 0));
        assert_eq!(kept(directory.path()), 2_300);
        let state = house.store.apply_import("big", at(6)).await.unwrap();
        assert_eq!(kept(directory.path()), 1_300);
        assert_eq!(
            (state.stage, state.applied, state.added),
            (Stage::Applying, 1000, 1000)
        );
        all
    });
    runtime.block_on(async {
        let house = House::new(directory.path()).await;
        let left = house
            .store
            .glance(|tx| import::unfinished(tx, TenantId::DEFAULT))
            .unwrap();
        assert_eq!(left.len(), 1);
        let mut state = left[0].clone();
        while state.stage != Stage::Done {
            // Enrollment goes on meanwhile.
            house
                .enroll(&format!("imported-{}", state.applied / 2), at(7))
                .await;
            state = house.store.apply_import(&state.id, at(7)).await.unwrap();
        }
        assert_eq!(
            (state.applied, state.added, state.changed),
            (2_300, 2_300, 0)
        );
        assert_eq!((devices(&house), kept(directory.path())), (2_300, 0));
        let events = house.store.glance(event::last).unwrap();
        assert_eq!(house.store.apply_import("big", at(8)).await.unwrap(), state);
        assert_eq!(
            house
                .store
                .stage_import(new("big", all.clone()), at(8))
                .await
                .unwrap(),
            state
        );
        assert_eq!(house.store.glance(event::last).unwrap(), events);

        // The same rows under another id change nothing.
        let plan = house
            .store
            .glance(|tx| import::plan(tx, TenantId::DEFAULT, &all, &Missing::Refuse))
            .unwrap();
        assert_eq!((plan.added, plan.changed, plan.unchanged), (0, 0, 2_300));
    });
}

#[test]
fn a_dry_run_says_what_would_change_and_missing_names_are_made_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        house.device("pump-1").await;
        let mut changed = house.spec("pump-1");
        changed.model = "P-200".to_owned();
        changed.site = title("Hall 9");
        let rows = vec![(2, changed.into()), (3, house.spec("pump-2").into())];
        let missing = Missing::Create {
            profile: slug("ldevid"),
        };
        let plan = house
            .store
            .glance(|tx| import::plan(tx, TenantId::DEFAULT, &rows, &missing))
            .unwrap();
        assert_eq!((plan.added, plan.changed, plan.errors.len()), (1, 1, 0));
        assert_eq!(plan.creates, [("site", "Hall 9".to_owned())]);
        let RowChange::Change(fields) = &plan.rows[0].2 else {
            panic!("{:?}", plan.rows[0])
        };
        let columns: Vec<_> = fields.iter().map(|field| field.column).collect();
        assert_eq!(columns, ["model", "site"]);
        assert_eq!(devices(&house), 1);

        let new = NewImport {
            missing,
            ..new("b", rows)
        };
        house.store.stage_import(new, at(5)).await.unwrap();
        let state = house.store.apply_import("b", at(5)).await.unwrap();
        assert_eq!(
            (state.stage, state.added, state.changed),
            (Stage::Done, 1, 1)
        );
        assert_eq!(house.find("pump-1").site, title("Hall 9"));
        house
            .store
            .glance::<_, StoreError>(|tx| {
                assert!(registry::site::no(tx, TenantId::DEFAULT, "Hall 9")?.is_some());
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn what_a_crash_left_of_a_table_is_erased_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let whole = new("whole", rows(&house, 10));
        house.store.stage_import(whole, at(5)).await.unwrap();
        // Whoever begins it may do nothing any more when its rows are kept.
        let withdrawn = |tx: &mut Tx<'_>| {
            let role = (Role::Operator, None);
            let no = token::create(tx, "gone", role, &[7; 32], None, &actor(), at(4))?;
            token::revoke(tx, no, &actor(), at(4))?;
            Ok(no)
        };
        let no = house
            .store
            .record::<_, StoreError, _>(op(), withdrawn)
            .await;
        let cut_off = NewImport {
            actor: Actor::Operator {
                name: "gone".to_owned(),
                no: no.unwrap(),
                role: Role::Operator,
            },
            ..new("cut off", rows(&house, 2_500))
        };
        let refused = house.store.stage_import(cut_off, at(5)).await;
        assert_eq!(refused, Err(ImportError::Withdrawn));
        assert_eq!(kept(directory.path()), 2_510);
        let abandoned = |before| {
            house
                .store
                .glance(|tx| import::abandoned(tx, before))
                .unwrap()
        };
        assert_eq!(abandoned(at(5)), None);
        let mut rounds = 0;
        while let Some(import) = abandoned(at(6)) {
            let erase = move |tx: &mut Tx<'_>| import::erase(tx, import, 1_000);
            house
                .store
                .scratch::<_, StoreError, _>(erase)
                .await
                .unwrap();
            rounds += 1;
        }
        // A thousand rows each, and at last the import itself.
        assert_eq!(rounds, 4);
        assert_eq!(kept(directory.path()), 10);
        let state = house.store.apply_import("whole", at(6)).await.unwrap();
        assert_eq!((state.stage, state.added), (Stage::Done, 10));
    });
}
