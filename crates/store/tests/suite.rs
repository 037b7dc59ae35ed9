//! What every database behind the store must do. One function per promise.

mod fixture;
#[path = "suite/life.rs"]
mod life;
