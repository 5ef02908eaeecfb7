//! Decides the life of OAuth grants that MCP clients keep on this machine.
//!
//! What it is: the [`Keeper`](keeper::Keeper), a state machine that is told what happened
//! ([`Input`](keeper::Input)), asks the world for small steps ([`Effect`](keeper::Effect)), names
//! when it wants to be woken and why, and shows the whole truth as a [`Snapshot`](snapshot::Snapshot).
//!
//! What it must not do: read a clock, a file, the environment or the network, await anything,
//! or hold a secret where a view could reach it. It is `no_std` outside tests so that the compiler
//! keeps that promise. Order is part of behaviour, so every collection here is ordered.
//!
//! Where to read next: [`keeper`] for the life of a grant, [`oauth`] for what goes over the wire,
//! [`health`] for what a person sees.

#![cfg_attr(not(test), no_std)]
#![warn(missing_docs)]

extern crate alloc;

pub mod commands;
pub mod desk;
pub mod facts;
pub mod health;
pub mod hex;
pub mod http;
pub mod ids;
pub mod journal;
pub mod keeper;
pub mod notice;
pub mod oauth;
pub mod secret;
pub mod signin;
pub mod snapshot;
pub mod store;
pub mod text;
pub mod time;
