//! A machine without a network, one whose network comes back, and one that sleeps: run where there is
//! only loopback, so that routes can be made and taken away.

#![cfg(target_os = "linux")]

use std::{process::Command, time::Duration, time::Instant};

use lamplighter_rehearsal::{Fault, Rehearsal, Rotation};
use lamplighter_tests::{keeper::Keeper, logind::Logind, stage::Stage};

/// Routes belong to all tests of this file.
static ROUTES: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// `ip route VERB default dev lo`: a way out that leads nowhere is a way out.
fn route(verb: &str) {
    let done = Command::new("ip").args(["route", verb, "default", "dev", "lo"]).status();
    assert!(done.is_ok_and(|status| status.success()), "ip route {verb}");
}

#[test]
fn without_a_network_the_row_says_so_and_its_return_is_noticed_at_once() {
    let _turn = ROUTES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    stage.sign_in("far", -60);
    // No name can be looked up here, this one least of all.
    stage.edit("far", |entry| {
        entry["serverUrl"] = "https://mcp.lamplighter.invalid/mcp".into();
        entry["discoveryState"]["authorizationServerUrl"] = "https://as.lamplighter.invalid".into();
    });
    let keeper = Keeper::start(&stage.home);
    keeper.until("it failed three times", |keeper| keeper.events("failed").len() >= 3);
    let ran = stage.run(&["renew", "far"]);
    assert!(ran.out.contains("No network · renews when it is back"), "{}{}", ran.out, ran.err);
    let tries = keeper.events("renewing").len();
    let waits = Instant::now();
    route("add");
    keeper.until("the way out is noticed", |keeper| keeper.events("renewing").len() > tries);
    let took = waits.elapsed();
    route("del");
    println!("a way out is back: tried again after {} ms", took.as_millis());
    assert!(keeper.events("notice").is_empty());
    assert_eq!(keeper.terminate(), Some(0));
    assert!(stage.refreshes().is_empty());
}

#[test]
fn a_sleep_waits_for_the_answer_on_its_way_starts_no_other_and_the_wake_renews() {
    let builder = Rehearsal::builder().life_seconds(20).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    let minted = stage.sign_in("rig", -1);
    let Some(logind) = Logind::start(&stage.home) else {
        println!("skipped: this machine has no D-Bus daemon");
        return;
    };
    stage.control.inject(Fault::Slow { ms: 1_500 }, 1);
    let keeper = Keeper::start(&stage.home);
    logind.until_asked(1);
    keeper.until("the token is presented", |_| {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    // The answer is on its way: the sleep has to wait for it, and no longer.
    logind.prepare_for_sleep(true);
    logind.until_let_go();
    assert!(stage.holds_live_pair("rig"), "what was on its way is saved");
    let renewed = keeper.events("renewed").len();
    // While the machine is going to sleep the next renewal comes due, and does not start.
    let (_, refresh) = stage.pair("rig");
    let due = Instant::now() + Duration::from_secs(14);
    while Instant::now() < due {
        assert_eq!(stage.pair("rig").1, refresh, "nothing starts into a sleep");
        std::thread::sleep(Duration::from_millis(100));
    }
    let woke = Instant::now();
    logind.prepare_for_sleep(false);
    keeper.until("it is renewed", |keeper| keeper.events("renewed").len() > renewed);
    println!("woken: renewed after {} ms", woke.elapsed().as_millis());
    // It asks to be waited for next time too.
    logind.until_asked(1);
    assert_eq!(keeper.terminate(), Some(0));
    assert!(stage.holds_live_pair("rig"));
    stage.nothing_was_broken();
}

#[test]
fn a_system_bus_that_comes_late_tells_of_sleep_all_the_same() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let (stage, _) = Stage::with_rig(builder);
    let keeper = Keeper::start(&stage.home);
    keeper.until("it is renewed without one", |keeper| !keeper.events("renewed").is_empty());
    let Some(logind) = Logind::start(&stage.home) else {
        println!("skipped: this machine has no D-Bus daemon");
        return;
    };
    logind.until_asked(1);
    drop(logind);
    let back = Logind::start(&stage.home).expect("it started before");
    back.until_asked(1);
    assert_eq!(keeper.terminate(), Some(0));
}

#[test]
fn a_shutdown_waits_for_the_answer_on_its_way_and_no_longer() {
    let builder = Rehearsal::builder().life_seconds(3600).rotation(Rotation::Strict);
    let mut stage = Stage::new(builder);
    let minted = stage.sign_in("rig", -1);
    let Some(logind) = Logind::start(&stage.home) else {
        println!("skipped: this machine has no D-Bus daemon");
        return;
    };
    stage.control.inject(Fault::Slow { ms: 1_500 }, 1);
    let keeper = Keeper::start(&stage.home);
    logind.until_asked_before_shutdown(1);
    keeper.until("the token is presented", |_| {
        stage.control.newest_pair_of(&minted.refresh_token).1 != minted.refresh_token
    });
    logind.prepare_for_shutdown(true);
    logind.until_shutdown_may_go_on();
    assert!(stage.holds_live_pair("rig"), "what was on its way is saved");
    // It was called off: next time it is asked to wait again.
    logind.prepare_for_shutdown(false);
    logind.until_asked_before_shutdown(1);
    assert_eq!(keeper.terminate(), Some(0));
    stage.nothing_was_broken();
}
