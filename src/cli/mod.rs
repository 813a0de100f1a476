//! The command line: one file per subcommand, one line each in [`Command`] and [`execute`].

mod addresses;
mod audit;
mod breakers;
mod check;
mod client;
mod dead_letters;
mod events;
mod pinned;
mod print;
mod reload;
mod replay;
mod runs;
mod secrets;
mod send;
mod serve;
mod tokens;
mod waits;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::Value;

use crate::config::{self, Flags, Loaded};

/// Takes signed webhooks, makes each durable before it answers, and drives workflows from them.
#[derive(Parser)]
#[command(name = "pointsman", version, about, propagate_version = true)]
struct Cli {
    /// Configuration file [default: ./config.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything durable lives [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Check configuration, workflows and routes, and say what is on
    Check(check::Check),
    /// Send a signed sample, as a provider would
    Send(send::Send),
    /// Look at events: did it arrive, what became of it, and why
    #[command(subcommand)]
    Events(events::Events),
    /// Look at runs: where is it, what has it done, why did it end
    #[command(subcommand)]
    Runs(runs::Runs),
    /// What failed for good: look at it, have it done again, or dismiss it
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// What runs wait for, and what became of it
    #[command(subcommand)]
    Waits(waits::Waits),
    /// Which services are called, and which are given a rest
    #[command(subcommand)]
    Breakers(breakers::Breakers),
    /// What operators did, when, from where, and what became of it
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Secrets of senders: which count, which are still used, and new ones
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// Have the server read its configuration again
    Reload(reload::Reload),
    /// Have events routed once more, as if they had come again
    Replay(replay::Replay),
    /// Make tokens of the operator API
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Where a running server is, for the commands that talk to one.
#[derive(Args)]
struct Target {
    /// Address of the server [default: the one in the data directory]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Token of the operator API [default: POINTSMAN_ADMIN_TOKEN, or the one in the data directory]
    #[arg(long, value_name = "TOKEN", env = "POINTSMAN_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Runs the program.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // Fails only when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match execute(&cli) {
        Ok(code) => code,
        Err(error) => {
            print::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Serve(serve) => serve.run(cli),
        Command::Check(check) => check.run(cli),
        Command::Send(send) => send.run(cli),
        Command::Events(events) => events.run(cli),
        Command::Runs(runs) => runs.run(cli),
        Command::DeadLetters(dead_letters) => dead_letters.run(cli),
        Command::Waits(waits) => waits.run(cli),
        Command::Breakers(breakers) => breakers.run(cli),
        Command::Audit(audit) => audit.run(cli),
        Command::Secrets(secrets) => secrets.run(cli),
        Command::Reload(reload) => reload.run(cli),
        Command::Replay(replay) => replay.run(cli),
        Command::Tokens(tokens) => tokens.run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "pointsman", &mut script);
            print::say_lines(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// An object of what was given.
fn given(fields: &[(&str, Value)]) -> Value {
    fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// A number of things that is worth asking for.
fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "give a number from 1 on".to_owned())
}

impl Cli {
    /// The configuration, with what the command line overrides.
    fn load(&self, mut values: Vec<(&'static str, &'static str, String)>) -> anyhow::Result<Loaded> {
        values.extend(self.data_dir.iter().map(|dir| ("--data-dir", "server.data_dir", dir.display().to_string())));
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
            .collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(config::load(&environment, &Flags { file: self.config.clone(), values }, cores)?)
    }
}
