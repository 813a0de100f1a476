//! Logs: set up once, by the binary.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What other crates say at start-up is no news; a `target=level` pair brings it back.
const QUIET: &str = "actix_server=warn,actix_web=warn,sled=warn";

/// Starts logging at `level` (`error`, `warn`, `info`, `debug`, `trace`, or `target=level` pairs) to
/// standard error.
pub fn start(level: &str, format: Format) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be set up: {error}"))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A panic is logged with its place. Its text is logged only when it is a constant of the program:
/// a composed one could hold a piece of a payload.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(text withheld)");
    let thread = std::thread::current();
    tracing::error!(place, thread = thread.name().unwrap_or_default(), "panic: {text}");
}
