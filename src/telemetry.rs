//! Logs: set up once, by the binary.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::Arc;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

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

/// What a level may be.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Why `level` cannot be used, if it cannot. A word that is no level would be taken for a target and
/// silence everything else.
pub fn wrong_level(level: &str) -> Option<String> {
    let is_level = |word: &str| LEVELS.iter().any(|known| known.eq_ignore_ascii_case(word));
    let words = level.split(',').map(str::trim).filter(|word| !word.is_empty() && !word.contains(['=', '[']));
    if let Some(word) = words.into_iter().find(|word| !is_level(word)) {
        return Some(format!("`{word}` is not a level; use one of {}, or target=level pairs", LEVELS.join(", ")));
    }
    EnvFilter::try_new(level).err().map(|error| error.to_string())
}

/// Says at which level is logged from now on. One that is none changes nothing.
pub type SetLevel = Arc<dyn Fn(&str) + Send + Sync>;

/// Starts logging at `level` (`error`, `warn`, `info`, `debug`, `trace`, or `target=level` pairs) to
/// standard error.
pub fn start(level: &str, format: Format) -> anyhow::Result<SetLevel> {
    let (filter, handle) = reload::Layer::new(filter_of(level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    started.map_err(|error| anyhow::anyhow!("logging cannot be set up: {error}"))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(Arc::new(move |level| {
        if let Ok(filter) = filter_of(level) {
            let _ = handle.reload(filter);
        }
    }))
}

fn filter_of(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{QUIET},{level}"))
}

/// A panic is logged with its place. Its text is logged only when it is a constant of the program:
/// a composed one could hold a piece of a payload.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(text withheld)");
    let thread = std::thread::current();
    tracing::error!(place, thread = thread.name().unwrap_or_default(), "panic: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for fine in ["info", "WARN", "off", "info,pointsman=debug", "pointsman_actors=trace", ""] {
            assert_eq!(wrong_level(fine), None, "{fine}");
        }
        for wrong in ["inof", "verbose", "info,sled", "pointsman=loud"] {
            assert!(wrong_level(wrong).is_some(), "{wrong}");
        }
    }
}
