//! Configuration in three types: as written (TOML and variables, [`keys`] and [`value`]), as merged
//! ([`merged`]), as used ([`settings`]). Nothing else in the product reads a file of the configuration
//! or the environment.

pub mod access;
pub mod addresses;
mod agentapi;
pub mod catch_up;
pub mod changes;
mod codegen;
pub mod doors;
mod engine;
mod generic;
mod github_app;
mod handlers;
mod integrations;
pub mod keys;
mod linear;
pub mod merged;
mod notifications;
mod own_source;
#[cfg(test)]
mod own_source_tests;
pub mod place;
pub mod profiles;
#[cfg(test)]
mod profiles_tests;
mod rate_limits;
mod sample;
#[cfg(test)]
mod secrets_tests;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod value;
pub mod webhooks;
#[cfg(test)]
mod webhooks_tests;
mod written_secret;

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use changes::Change;
pub use merged::{Merged, Problem};
pub use sample::sample;
pub use settings::Settings;

/// The file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "config.toml";

/// What the command line says of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Which file to read.
    pub file: Option<PathBuf>,
    /// Keys set by flags: the flag, the key's path, the value.
    pub values: Vec<(&'static str, &'static str, String)>,
}

/// All that is wrong, a line each.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// A file that may hold workflows and routes.
#[derive(Clone, Debug)]
pub struct DefinitionFile {
    /// As it is named in errors.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// The directory beside the configuration whose `*.toml` hold workflows and routes.
const DEFINITIONS: &str = "workflows";

/// A configuration that was read and checked.
#[derive(Clone)]
pub struct Loaded {
    /// As merged.
    pub merged: Merged,
    /// As used.
    pub settings: Settings,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// The files with workflows and routes: that one, and those beside it.
    pub definitions: Vec<DefinitionFile>,
    /// The variables that programs which we start may see: where they find things, never a secret.
    pub passed_on: Vec<(String, String)>,
    given: Arc<Given>,
}

/// What the process was started with.
struct Given {
    environment: BTreeMap<String, String>,
    flags: Flags,
    cores: usize,
}

impl Loaded {
    /// Reads all files again. What needs a restart is as it was; it comes beside, as what differs in the files.
    pub fn again(&self) -> Result<(Self, Vec<Change>), ConfigErrors> {
        let Given { environment, flags, cores } = &*self.given;
        // What needs a restart is to be right as well, so that there can be one.
        // The file that was found is the one that counts: one that is away for a moment is no empty one.
        let flags = Flags { file: self.file.clone().or_else(|| flags.file.clone()), values: flags.values.clone() };
        let read = load(environment, &flags, *cores)?;
        let waiting = changes::waiting(&self.merged, &read.merged);
        let merged = read.merged.without_restart(&self.merged);
        let mut problems = Vec::new();
        match Settings::check(&merged, *cores, &mut problems) {
            Some(settings) if problems.is_empty() => Ok((Self { merged, settings, ..read }, waiting)),
            _ => Err(ConfigErrors(problems)),
        }
    }
}

/// Variables that programs which we start may see.
const PASSED_ON: [&str; 14] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CONFIG_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
];

/// Those of them that are set.
pub fn passed_on(environment: &BTreeMap<String, String>) -> Vec<(String, String)> {
    PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), environment.get(*name)?.clone()))).collect()
}

/// Reads and checks the configuration.
pub fn load(environment: &BTreeMap<String, String>, flags: &Flags, cores: usize) -> Result<Loaded, ConfigErrors> {
    let given = Given { environment: environment.clone(), flags: flags.clone(), cores };
    let named = environment.get(keys::FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = flags.file.clone().or(named);
    let file = named.clone().or_else(|| Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE)));
    let text = match &file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?,
    };
    let name = file.as_deref().unwrap_or(Path::new(DEFAULT_FILE)).display().to_string();
    let (merged, mut problems) = Merged::merge((&name, &text), environment, &flags.values);
    match Settings::check(&merged, cores, &mut problems) {
        Some(settings) if problems.is_empty() => {
            let mut definitions = definition_files(file.as_deref())?;
            if file.is_some() {
                definitions.insert(0, DefinitionFile { name, text });
            }
            let (given, passed_on) = (Arc::new(given), passed_on(environment));
            Ok(Loaded { merged, settings, file, definitions, passed_on, given })
        }
        _ => Err(ConfigErrors(problems)),
    }
}

/// The files in the directory beside the configuration, or beside where it would be, by name.
fn definition_files(file: Option<&Path>) -> Result<Vec<DefinitionFile>, ConfigErrors> {
    let directory = file.and_then(Path::parent).unwrap_or(Path::new("")).join(DEFINITIONS);
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&directory, &error)),
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "toml")).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            Ok(DefinitionFile { name: path.display().to_string(), text })
        })
        .collect()
}

/// Whether what somebody is free to name may be called so: it becomes a part of the names of keys, variables and breakers.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (1..=40).contains(&name.len()) && name.chars().all(fits)
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigErrors {
    let reason = format!("cannot be read: {error}");
    ConfigErrors(vec![Problem::of_file(merged::Origin::File(path.display().to_string(), None), reason)])
}
