//! What the official MCP conformance suite starts; all of it is in `lamplighter_tests::conformance`.
//!
//! `conformance-client [--redirect loopback|scheme] URL`; the scenario comes by environment.

use lamplighter_core::signin::RedirectWish;
use lamplighter_tests::conformance::{Failure, examined};

const USAGE: &str = "conformance-client [--redirect loopback|scheme] URL";

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let mut redirect = RedirectWish::Loopback;
    let mut url = None;
    while let Some(arg) = args.next() {
        if arg != "--redirect" {
            url = Some(arg);
            continue;
        }
        redirect = match args.next().as_deref() {
            Some("loopback") => RedirectWish::Loopback,
            Some("scheme") => RedirectWish::Scheme,
            Some(_) | None => return Err(USAGE.into()),
        };
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    runtime.block_on(examined(&url.ok_or(USAGE)?, redirect))
}
