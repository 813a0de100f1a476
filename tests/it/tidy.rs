//! The rules that only a look at the sources can keep.

use std::path::{Path, PathBuf};

/// The longest a file may be: beyond it, it is two rooms.
const LONGEST_FILE: usize = 500;

struct Source {
    path: PathBuf,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["actors/src", "src", "tests"] {
        walk(&root.join(folder), &mut found);
    }
    assert!(found.len() > 40, "the walk found the sources");
    found
        .into_iter()
        .map(|path| Source {
            text: std::fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(root).unwrap().to_owned(),
        })
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What is wrong with one file, a line each.
fn problems(path: &Path, text: &str) -> Vec<String> {
    let name = path.to_str().unwrap();
    let mut problems = Vec::new();
    let mut wrong = |line: usize, rule: &str| problems.push(format!("{name}:{line}: {rule}"));
    if !text.starts_with("//!") {
        wrong(1, "a file begins with what it is (`//!`)");
    }
    if text.lines().count() > LONGEST_FILE {
        wrong(LONGEST_FILE, "the file is too long");
    }
    let is_test = name.starts_with("tests/")
        || name.ends_with("tests.rs")
        || name.ends_with("contract.rs")
        || name.contains("/crash_points/");
    let inside_of_component = name.starts_with("actors/src/") && !is_test && !is_door(name);
    for (number, line) in without_tests(text) {
        let code = line.split("//").next().unwrap_or_default();
        if inside_of_component
            && ["actix", "tokio::", "std::fs", "fs::", "std::net::Tcp", "std::thread", "thread::", "std::{"]
                .iter()
                .any(|word| code.contains(word))
        {
            wrong(number, "what decides names no actix, tokio, file, socket or thread");
        }
        if let Some(other) = inside_of_component.then(|| other_component(name, code)).flatten() {
            wrong(number, &format!("what decides does not know the component `{other}`"));
        }
        if name.starts_with("actors/") && (code.contains("std::env") || code.contains("env::var")) {
            wrong(number, "the engine reads no environment");
        }
        if name.starts_with("src/")
            && (code.contains("env::var") || code.contains("use std::env"))
            && name != "src/cli/mod.rs"
            && !is_test
        {
            wrong(number, "only the command line reads the environment");
        }
        if name.starts_with("src/http/") && code.contains("crate::stores") {
            wrong(number, "the HTTP edge names no store's adapter");
        }
        if !is_test
            && (code.contains("todo!")
                || code.contains("unimplemented!")
                || line.contains(concat!("TO", "DO"))
                || line.contains(concat!("FIX", "ME")))
        {
            wrong(number, "what is not done is not here");
        }
    }
    problems
}

/// The lines with their numbers, without what is compiled for tests only: the item after the attribute.
fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let (mut kept, mut skipping, mut depth) = (Vec::new(), false, 0_i64);
    for (number, line) in (1..).zip(text.lines()) {
        if !skipping && line.trim() == "#[cfg(test)]" {
            (skipping, depth) = (true, 0);
            continue;
        }
        if !skipping {
            kept.push((number, line));
            continue;
        }
        let count = |brace| i64::try_from(line.matches(brace).count()).unwrap();
        depth += count('{') - count('}');
        let ends = line.trim_end().ends_with([';', '}']);
        skipping = depth > 0 || !ends;
    }
    kept
}

/// The components of the engine whose inside is theirs alone. What is in `executor/port.rs`,
/// `failure.rs` and `outages.rs` is the vocabulary of actions, in `progress.rs` how a run stands, in
/// `router/routes.rs` that of routes, in `circuit_breaker/circuit.rs` that of what is stored of circuits, in
/// `retention/dossier.rs` that of what is kept, in `dead_letter/letter.rs` that of what failed for good, in
/// `catch_up/checkpoint.rs` that of what is stored of catching up.
fn other_component<'a>(name: &str, code: &'a str) -> Option<&'a str> {
    let own = name.split('/').nth(2).unwrap_or_default();
    let components = [
        "receiver",
        "validator",
        "deduplicator",
        "router",
        "executor",
        "dispatcher",
        "timer",
        "circuit_breaker",
        "retention",
        "dead_letter",
        "catch_up",
        "address_book",
    ];
    let is_vocabulary = |path: &str| {
        [
            "executor::port",
            "executor::failure",
            "executor::outages",
            "executor::progress",
            "circuit_breaker::circuit",
            "deduplicator::fingerprint",
            "router::routing",
            "router::routes",
            "retention::dossier",
            "dead_letter::letter",
            "catch_up::checkpoint",
        ]
        .iter()
        .any(|words| path.starts_with(words))
    };
    code.match_indices("crate::").find_map(|(at, _)| {
        let path = code.get(at + "crate::".len()..)?;
        let named = path.split([':', ';', '{', ',', ' ']).next()?;
        (components.contains(&named) && named != own && !is_vocabulary(path)).then_some(named)
    })
}

/// The files of the engine that may know actix, tokio or the machine: doors with their
/// messages, attempts at work, what is taken up from storage, and the files that carry them.
fn is_door(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or_default();
    matches!(
        file,
        "actor.rs"
            | "backlog.rs"
            | "messages.rs"
            | "attempts.rs"
            | "asking.rs"
            | "callbacks.rs"
            | "circuits.rs"
            | "lane.rs"
            | "live.rs"
            | "recovery.rs"
            | "task.rs"
            | "watch.rs"
    ) || [
        "mailbox.rs",
        "supervisor.rs",
        "tree.rs",
        "tree/work.rs",
        "tree/hiring.rs",
        "tree/replacing.rs",
        "tree/ending.rs",
        "tree/gauge.rs",
        "time.rs",
    ]
    .iter()
    .any(|door| name == format!("actors/src/{door}"))
}

#[test]
fn the_sources_keep_the_rules() {
    let all: Vec<String> = sources().iter().flat_map(|source| problems(&source.path, &source.text)).collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn a_broken_rule_is_found() {
    let check = |path: &str, text: &str, expect: &str| {
        let found = problems(Path::new(path), text).join(" ");
        assert!(found.contains(expect), "{path}: {found}");
    };
    check("src/x.rs", "fn f() {}", "begins with what it is");
    check("actors/src/router/routing.rs", "//! x\nuse actix::Actor;", "names no actix");
    check("actors/src/receiver/admission.rs", "//! x\nlet f = std::fs::read(p);", "names no actix");
    check("actors/src/timer/schedule.rs", "//! x\nuse crate::dispatcher::queue::Queue;", "component `dispatcher`");
    check("src/x.rs", "//! x\n#[cfg(test)]\nmod tests;\nlet v = env::var(\"X\");", "only the command line");
    check(
        "src/x.rs",
        "//! x\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\nlet v = env::var(\"X\");",
        "only the command",
    );
    check("src/http/x.rs", "//! x\nuse crate::stores::sled;", "names no store's adapter");
    check("src/http/x.rs", "//! x\nstd::env::var(\"X\")", "only the command line");
    check("src/x.rs", concat!("//! x\n// TO", "DO: later"), "not done");
    check("src/x.rs", &format!("//! x\n{}", "\n".repeat(600)), "too long");
    let tested = "//! x\n#[cfg(test)]\nmod tests {\n    let v = env::var(\"X\");\n}\nfn f() {}";
    assert!(problems(Path::new("src/x.rs"), tested).is_empty());
    assert!(problems(Path::new("actors/src/router/actor.rs"), "//! x\nuse actix::Actor;").is_empty());
}

/// What the engine may be built from: no HTTP server, no database, no API client, no file format but TOML.
const OF_THE_ENGINE: [&str; 17] = [
    "actix",
    "actix-rt",
    "arc-swap",
    "backoff",
    "bytes",
    "chrono",
    "crc32fast",
    "futures-util",
    "minijinja",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "tokio",
    "toml",
    "tracing",
    "uuid",
];

#[test]
fn the_engine_is_built_from_what_it_may_be() {
    let manifest = include_str!("../../actors/Cargo.toml");
    let (_, rest) = manifest.split_once("[dependencies]").unwrap();
    let (dependencies, _) = rest.split_once('[').unwrap();
    let names: Vec<&str> = dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(OF_THE_ENGINE.contains(&name) || name == "zstd", "{name}");
    }
}
