//! How many enrollments a second the engine makes, beside the cryptographic limit of the same run.
//!
//! `cargo bench -p tenure-tests --bench enroll [-- --devices N] [--filled N]`. Each enrollment is
//! whole: the request is parsed and its signature checked, policy decides, the serial and bytes are
//! reserved (fsync), the certificate is signed, and it is completed with its event (fsync); 64 are in
//! flight and the record is sealed meanwhile. The limit is what both cores do of nothing but "verify
//! one P-256 request and make one P-256 signature". `--filled N` has so many more devices, with two
//! certificates each, in the store. Figures are printed, never asserted.

mod ground;

use std::sync::Arc;

use ground::{IN_FLIGHT, Stretch, argument};
// For its allocator, which is the product's.
use tenure_server as _;
use tenure_x509::Csr;

fn main() {
    let devices = argument("--devices", 20_000);
    let filled = argument("--filled", 0);
    let runtime = ground::runtime();
    let house = ground::house(filled);
    let data = house.data();
    let enrolled = ground::with_engine(&data, async |engine| {
        let invited = Arc::new(ground::invite_all(engine, devices).await);
        let engine = engine.clone();
        let stretch = Stretch::begin(std::process::id());
        let issued = ground::spread(devices, move |no| {
            let (engine, invited) = (engine.clone(), Arc::clone(&invited));
            async move {
                let invited = &invited[no];
                let csr = Csr::from_der(&invited.csr).expect("a request");
                invited.redeem(&engine, csr).await;
            }
        });
        assert_eq!(issued.await.len(), devices);
        stretch.end(devices)
    });
    let (limit, took) = ground::beside_the_limit(|| runtime.block_on(enrolled));
    println!("{limit}");
    println!(
        "engine: {:.0} enrollments/s, {:.0} µs of CPU each, {IN_FLIGHT} in flight, fsync and record \
         on, {filled} more devices in the store, {devices} enrollments",
        took.per_second, took.server_us
    );
    println!(
        "ratio: {:.2}; by CPU time, were both cores always busy: {:.2}",
        took.per_second / limit.per_second,
        limit.cpu_us / took.server_us
    );
}
