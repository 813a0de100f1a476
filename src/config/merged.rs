//! The configuration as merged: the file, overridden by the environment, overridden by flags. Every
//! value knows where it came from, so that an error can say so.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::keys::{
    FILE_VARIABLE, GENERIC, GENERIC_KEYS, KEYS, SOURCE_KEYS, TARGET_KEYS, TARGETS, TOKEN_KEYS, TOKENS, needs_restart,
};
use super::place::{Places, line_at, reason_of};
use super::profiles::{self, Choice, OF_NODE, Profile};
use super::value::{Kind, Value};
use super::written_secret::WrittenSecret;
use crate::sources;

/// Prefix of variables that are ours alone, so that an unknown one must be a mistake.
const OWN_PREFIX: &str = "POINTSMAN_";

/// The variable with which systemd says where a service's credentials are (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// Nobody set it but the profile.
    Profile(&'static str),
    /// A file by its path as it was given, and the line.
    File(String, Option<usize>),
    /// A variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::File(name, Some(line)) => write!(f, "{name}, line {line}"),
            Self::File(name, None) => f.write_str(name),
            Self::Variable(name) => write!(f, "environment, {name}"),
            Self::Flag(name) => write!(f, "command line, {name}"),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong and what to do.
    pub reason: String,
}

impl Problem {
    /// One of a file as a whole.
    pub fn of_file(origin: Origin, reason: String) -> Self {
        Self { key: "(file)".to_owned(), origin, reason }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.key, self.origin, self.reason)
    }
}

/// A key with its value.
#[derive(Clone)]
pub struct Entry {
    /// What it takes.
    pub kind: Kind,
    /// What it has.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// The merged configuration.
#[derive(Clone, Default)]
pub struct Merged {
    entries: BTreeMap<String, Entry>,
    /// The profile, and who has chosen it.
    pub profile: Option<(Profile, Origin)>,
    /// What Node.js calls its environment, if that was looked at and is no profile.
    pub unknown_profile: Option<String>,
    /// The targets of notifications that have a table, and where that is.
    pub targets: BTreeMap<String, Origin>,
    /// The same of named tokens.
    pub tokens: BTreeMap<String, Origin>,
    /// The sources that the configuration describes, and where.
    pub sources: BTreeMap<String, Origin>,
    /// Where the service's credentials are.
    pub credentials: Option<PathBuf>,
}

/// A key of the table, with those of sources and targets spelt out.
struct Known {
    path: String,
    variables: Vec<String>,
    kind: Kind,
    default: String,
}

/// Tables whose names the file gives, and where they are.
type Tables = BTreeMap<String, Origin>;

fn known(targets: &Tables, tokens: &Tables, own: &Tables) -> Vec<Known> {
    let plain = KEYS.iter().map(|key| Known {
        path: key.path.to_owned(),
        variables: key.variables.iter().map(|name| (*name).to_owned()).collect(),
        kind: key.kind,
        default: key.default.to_owned(),
    });
    let all_sources = sources::NAMES.into_iter().chain(own.keys().map(String::as_str));
    let of_sources = all_sources.flat_map(|source| {
        SOURCE_KEYS.iter().map(move |(name, variable, kind, _)| Known {
            path: format!("webhooks.{source}.{name}"),
            variables: (!variable.is_empty())
                .then(|| variable.replace("{SOURCE}", &upper(source)))
                .into_iter()
                .collect(),
            kind: *kind,
            default: String::new(),
        })
    });
    let of_targets = targets.keys().flat_map(|target| {
        let of_target = move |(name, variable, kind, _): &(&str, &str, Kind, &str)| Known {
            path: format!("{TARGETS}.{target}.{name}"),
            variables: (!variable.is_empty())
                .then(|| variable.replace("{TARGET}", &upper(target)))
                .into_iter()
                .collect(),
            kind: *kind,
            default: String::new(),
        };
        TARGET_KEYS.iter().map(of_target)
    });
    let of_tokens = tokens.keys().flat_map(|token| {
        TOKEN_KEYS.iter().map(move |(name, _, kind, _)| Known {
            path: format!("{TOKENS}.{token}.{name}"),
            variables: Vec::new(),
            kind: *kind,
            default: String::new(),
        })
    });
    let of_own = own.keys().flat_map(|source| {
        GENERIC_KEYS.iter().map(move |(name, kind, _)| Known {
            path: format!("{WEBHOOKS}.{source}.{name}"),
            variables: Vec::new(),
            kind: *kind,
            default: String::new(),
        })
    });
    plain.chain(of_sources).chain(of_own).chain(of_targets).chain(of_tokens).collect()
}

/// The section that has a table for each source.
const WEBHOOKS: &str = "webhooks";

/// The section that has a table for each workflow.
const WORKFLOWS: &str = "workflows";

/// The sections that have a table for each name, and an example of one.
const BY_NAME: [(&str, &str); 4] = [(TOKENS, "ci"), (TARGETS, "ops"), (WEBHOOKS, "github"), (WORKFLOWS, "nightly")];

/// A name as variables have it.
fn upper(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// The names of the tables below a section of a file that have this key, if one is asked for, and where they are.
fn tables(file: &str, places: &Places, section: &str, with: Option<&str>) -> Tables {
    let Ok(table) = toml::from_str::<toml::Table>(file) else { return Tables::new() };
    let mut found = Some(&table);
    for part in section.split('.') {
        found = found.and_then(|table| table.get(part)?.as_table());
    }
    let has = |table: &toml::Table| with.is_none_or(|key| table.contains_key(key));
    let tables = found.into_iter().flatten().filter(|(_, value)| value.as_table().is_some_and(has));
    tables.map(|(name, _)| (name.clone(), places.origin_of(&format!("{section}.{name}")))).collect()
}

/// The path of every key, for suggestions and lists.
pub fn paths() -> Vec<String> {
    known(&Tables::new(), &Tables::new(), &Tables::new()).into_iter().map(|key| key.path).collect()
}

/// Every variable that is understood without a target of notifications.
pub fn variables() -> Vec<String> {
    variables_of(&known(&Tables::new(), &Tables::new(), &Tables::new()))
}

fn variables_of(known: &[Known]) -> Vec<String> {
    let own = [FILE_VARIABLE.to_owned()].into_iter().chain([OF_NODE.to_owned()]);
    own.chain(known.iter().flat_map(|key| key.variables.iter().cloned())).collect()
}

impl Merged {
    /// Merges a file, by its name in errors and its text, with the environment and flags. All problems are found at once.
    pub fn merge(
        (name, file): (&str, &str),
        environment: &BTreeMap<String, String>,
        flags: &[(&'static str, &str, String)],
    ) -> (Self, Vec<Problem>) {
        let places = Places::of(name, file);
        let (targets, tokens) = (tables(file, &places, TARGETS, None), tables(file, &places, TOKENS, None));
        let mut sources = tables(file, &places, WEBHOOKS, Some("kind"));
        sources.retain(|name, _| !crate::sources::NAMES.contains(&name.as_str()));
        let known = known(&targets, &tokens, &sources);
        let credentials = environment.get(CREDENTIALS).map(PathBuf::from);
        let (mut merged, mut problems) =
            (Self { targets, tokens, sources, credentials, ..Self::default() }, Vec::new());
        for key in known.iter().filter(|key| !key.default.is_empty()) {
            merged.set_default(key);
        }
        merged.set_profile(profile_of(file, &places), environment, &known);
        merged.read_file(file, &mut Reading { places: &places, known: &known, problems: &mut problems });
        merged.read_environment(environment, &known, &mut problems);
        for (flag, path, text) in flags {
            if let Some(key) = known.iter().find(|key| key.path == *path) {
                merged.set(key, key.kind.from_text(text), Origin::Flag(flag), &mut problems);
            }
        }
        (merged, problems)
    }

    /// The entry of a key, if it has a value.
    pub fn entry(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Every key that has a value, with what may be shown of it and where it came from.
    pub fn listing(&self) -> Vec<(String, String, String)> {
        self.entries.iter().map(|(path, entry)| (path.clone(), shown_of(entry), entry.origin.to_string())).collect()
    }

    /// The keys that have a value.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// This configuration as far as it can be put in force without a restart: what needs one is as `before`.
    pub fn without_restart(self, before: &Self) -> Self {
        let of = |merged: &Self, stays: bool| -> BTreeMap<String, Entry> {
            let entries = merged.entries.iter().filter(|(key, _)| needs_restart(key) == stays);
            entries.map(|(key, entry)| (key.clone(), entry.clone())).collect()
        };
        let mut entries = of(&self, false);
        entries.extend(of(before, true));
        Self { entries, targets: before.targets.clone(), ..self }
    }

    fn set_default(&mut self, key: &Known) {
        self.set_written(key, &key.default, Origin::Default);
    }

    /// Sets what stands in a table of ours.
    fn set_written(&mut self, key: &Known, text: &str, origin: Origin) {
        let value = toml::from_str::<toml::Table>(&format!("v = {text}")).ok().and_then(|mut table| table.remove("v"));
        if let Some(Ok(value)) = value.map(|value| key.kind.from_toml(&value)) {
            self.entries.insert(key.path.clone(), Entry { kind: key.kind, value, origin });
        }
    }

    /// Sets what the profile says, before file and environment do.
    fn set_profile(&mut self, file: Option<(String, Origin)>, environment: &BTreeMap<String, String>, known: &[Known]) {
        let file = file.as_ref().map(|(text, origin)| (text.as_str(), origin.clone()));
        let Choice { profile, unknown } = profiles::choose(file, environment);
        let values = profile.iter().flat_map(|(profile, _)| profile.values.iter().map(|value| (profile.name, value)));
        for (name, (path, text)) in values {
            if let Some(key) = known.iter().find(|key| key.path == *path) {
                self.set_written(key, text, Origin::Profile(name));
            }
        }
        (self.profile, self.unknown_profile) = (profile, unknown);
    }

    fn set(&mut self, key: &Known, value: Result<Value, String>, origin: Origin, problems: &mut Vec<Problem>) {
        match value {
            Ok(value) => {
                self.entries.insert(key.path.clone(), Entry { kind: key.kind, value, origin });
            }
            Err(reason) => problems.push(Problem { key: key.path.clone(), origin, reason }),
        }
    }

    fn read_file(&mut self, file: &str, reading: &mut Reading<'_>) {
        let table = match toml::from_str::<toml::Table>(file) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map(|span| line_at(file, span.start));
                let origin = Origin::File(reading.places.name.to_owned(), line);
                reading.problems.push(Problem::of_file(origin, reason_of(file, &error)));
                return;
            }
        };
        for (name, value) in table {
            match (name.as_str(), value) {
                // They are read as what they are, with the files beside this one.
                ("routes", toml::Value::Array(_)) | (WORKFLOWS, toml::Value::Table(_)) => {}
                (_, value) => self.read_value(&name, &value, reading),
            }
        }
    }

    fn read_value(&mut self, path: &str, value: &toml::Value, reading: &mut Reading<'_>) {
        let origin = reading.places.origin_of(path);
        let known = reading.known;
        if let Some(key) = known.iter().find(|key| key.path == path && key.kind == Kind::Secrets) {
            match WrittenSecret::list(path, value, reading.places) {
                Ok(secrets) => self.set(key, Ok(Value::Secrets(secrets)), origin, reading.problems),
                Err(problems) => reading.problems.extend(problems),
            }
        } else if let Some(key) = known.iter().find(|key| key.path == path) {
            let value = key.kind.from_toml(value).map_err(|reason| {
                let reason = with_profile(path, value.as_str().unwrap_or_default(), reason);
                with_value(key.kind, value, &reason)
            });
            self.set(key, value, origin, reading.problems);
        } else if let toml::Value::Table(table) = value
            && (path == TARGETS || path == TOKENS || known.iter().any(|key| is_below(&key.path, path)))
        {
            for (name, value) in table {
                self.read_value(&format!("{path}.{name}"), value, reading);
            }
        } else {
            let reason = no_table(path, value, known).unwrap_or_else(|| unknown(path, known));
            reading.problems.push(Problem { key: path.to_owned(), origin, reason });
        }
    }

    fn read_environment(
        &mut self,
        environment: &BTreeMap<String, String>,
        known: &[Known],
        problems: &mut Vec<Problem>,
    ) {
        for key in known {
            // The first variable is the usual one and wins.
            let set = key
                .variables
                .iter()
                .find_map(|name| Some((name, environment.get(name).filter(|text| !text.is_empty())?)));
            if let Some((name, text)) = set {
                let origin = Origin::Variable(name.clone());
                let value = match key.kind {
                    Kind::Secrets => {
                        let plain = |text| WrittenSecret::plain(text, origin.clone());
                        Ok(Value::Secrets(text.split_whitespace().map(plain).collect()))
                    }
                    kind => kind.from_text(text).map_err(|reason| match kind.is_secret() {
                        true => reason,
                        false => format!("`{text}`: {}", with_profile(&key.path, text, reason)),
                    }),
                };
                self.set(key, value, origin, problems);
            }
        }
        let variables = variables_of(known);
        for name in environment.keys().filter(|name| name.starts_with(OWN_PREFIX) && !variables.contains(name)) {
            let nearest =
                nearest(name, variables.iter().map(String::as_str).filter(|name| name.starts_with(OWN_PREFIX)));
            let reason = format!("unknown variable{nearest}");
            problems.push(Problem { key: name.clone(), origin: Origin::Variable(name.clone()), reason });
        }
    }
}

/// The profile that a file names, and where.
fn profile_of(file: &str, places: &Places) -> Option<(String, Origin)> {
    let table = toml::from_str::<toml::Table>(file).ok()?;
    let name = table.get(profiles::KEY)?.as_str()?;
    Some((name.to_owned(), places.origin_of(profiles::KEY)))
}

/// What is wrong with the name of a profile, with the one that may be meant.
fn with_profile(path: &str, text: &str, reason: String) -> String {
    if path == profiles::KEY { format!("{reason}{}", profiles::meant(text)) } else { reason }
}

/// The file that is being read, and what is found in it.
struct Reading<'a> {
    places: &'a Places<'a>,
    known: &'a [Known],
    problems: &'a mut Vec<Problem>,
}

/// What to write where a table belongs and something else stands, most often a list of tables (`[[…]]`).
fn no_table(path: &str, value: &toml::Value, known: &[Known]) -> Option<String> {
    if value.is_table() {
        return None;
    }
    if let Some((section, name)) = BY_NAME.into_iter().find(|(section, _)| *section == path) {
        return Some(format!("it has a table for each name, such as `[{section}.{name}]`"));
    }
    let is_by_name =
        path.rsplit_once('.').is_some_and(|(above, _)| BY_NAME.into_iter().any(|(section, _)| section == above));
    let has_tables = value.as_array().is_some_and(|list| list.iter().any(toml::Value::is_table));
    let is_table = (is_by_name && has_tables) || known.iter().any(|key| is_below(&key.path, path));
    is_table.then(|| format!("it is a single table: `[{path}]`"))
}

/// What is said of a key that there is not.
fn unknown(path: &str, known: &[Known]) -> String {
    let keys = known.iter().map(|key| key.path.as_str());
    let sections = keys.clone().filter_map(|key| key.rsplit_once('.').map(|(section, _)| section));
    let nearest = nearest(path, keys.chain(sections).chain(["routes", WORKFLOWS, TARGETS, TOKENS]));
    let is_source = path.strip_prefix(WEBHOOKS).is_some_and(|rest| rest.matches('.').count() == 1);
    let own = if is_source { format!("; a source of your own says `kind = \"{GENERIC}\"`") } else { String::new() };
    format!("unknown key{nearest}{own}")
}

fn is_below(path: &str, section: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

fn with_value(kind: Kind, value: &toml::Value, reason: &str) -> String {
    if kind.is_secret() { reason.to_owned() } else { format!("`{value}`: {reason}") }
}

/// `; did you mean …?`, if anything is near.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.len() / 3))
        .map_or_else(String::new, |(_, candidate)| format!("; did you mean `{candidate}`?"))
}

/// What may be shown of an entry.
pub(super) fn shown_of(entry: &Entry) -> String {
    if entry.kind.is_secret() { "***".to_owned() } else { shown(&entry.value) }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Count(number) => number.to_string(),
        Value::Ratio(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Span(span) => format!("{span:?}"),
        Value::List(items) => items.join(", "),
        Value::Secrets(_) => "***".to_owned(),
    }
}
