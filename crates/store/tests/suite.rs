//! What every database behind the store must do. One function per promise.

#[path = "suite/asof.rs"]
mod asof;
#[path = "suite/backup.rs"]
mod backup;
#[path = "suite/compromise.rs"]
mod compromise;
#[path = "suite/covered.rs"]
mod covered;
#[path = "suite/driver.rs"]
mod driver;
#[path = "suite/finding.rs"]
mod finding;
mod fixture;
#[path = "suite/import.rs"]
mod import;
#[path = "suite/kill.rs"]
mod kill;
#[path = "suite/life.rs"]
mod life;
#[path = "suite/people.rs"]
mod people;
#[path = "suite/power.rs"]
mod power;
#[path = "suite/reading.rs"]
mod reading;
#[path = "suite/view.rs"]
mod view;
