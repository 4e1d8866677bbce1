//! The audit under force: gateways that are killed, stores that go away, and a million interceptions.
//!
//!     cargo test --test force -- kills --count 1000
//!     cargo test --test force -- kills --count 1000 --store postgres --postgres postgres://…

#![allow(clippy::unwrap_used, reason = "a run that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "prints its counts")]
#![allow(clippy::disallowed_methods, reason = "what a run starts ends with it")]

mod away;
mod chance;
mod gateway;
mod kills;
mod ledger;
mod load;
mod million;
mod play;
mod population;
mod provider;
mod questions;
mod store;
mod tools;
#[allow(dead_code, reason = "only what a provider says is used here")]
#[path = "../../../it/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use toolgate::http::undelayed;

#[derive(Debug, Parser)]
enum Command {
    /// Kills gateways under load
    Kills(kills::Args),
    /// Takes the store away under load, and brings it back
    Away(away::Args),
    /// Fills a store, and asks it
    Million(million::Args),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let passed = match Command::parse() {
        Command::Kills(args) => kills::run(args).await,
        Command::Away(args) => away::run(args).await,
        Command::Million(args) => million::run(args).await,
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Serves on loopback until this process ends; gives where.
async fn serve(routes: axum::Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(undelayed(listener), routes).await });
    address
}

/// Prints what is wrong; true where nothing is.
fn passed(problems: &[String]) -> bool {
    for problem in problems.iter().take(20) {
        println!("  PROBLEM: {problem}");
    }
    println!(
        "  {}",
        if problems.is_empty() {
            "passed".to_owned()
        } else {
            format!("FAILED: {} problems", problems.len())
        }
    );
    problems.is_empty()
}
