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
    let is_test = name.starts_with("tests/") || name.ends_with("tests.rs") || name.ends_with("contract.rs");
    let inside_of_component = name.starts_with("actors/src/") && !is_test && !is_door(name);
    for (number, line) in (1..).zip(text.lines().take_while(|line| line.trim() != "#[cfg(test)]")) {
        let code = line.split("//").next().unwrap_or_default();
        if inside_of_component
            && ["actix", "tokio::", "std::fs", "std::net::Tcp", "std::thread"].iter().any(|word| code.contains(word))
        {
            wrong(number, "what decides names no actix, tokio, file, socket or thread");
        }
        if name.starts_with("actors/") && code.contains("std::env") && !code.contains("env!") {
            wrong(number, "the engine reads no environment");
        }
        if name.starts_with("src/") && code.contains("std::env::var") && name != "src/cli/mod.rs" && !is_test {
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

/// The files of the engine that may know actix, tokio or the machine: doors with their
/// messages, attempts at work, and the files that carry them.
fn is_door(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or_default();
    matches!(file, "actor.rs" | "backlog.rs" | "messages.rs" | "attempts.rs")
        || ["mailbox.rs", "supervisor.rs", "tree.rs", "time.rs"].iter().any(|door| name == format!("actors/src/{door}"))
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
    check("src/http/x.rs", "//! x\nuse crate::stores::sled;", "names no store's adapter");
    check("src/http/x.rs", "//! x\nstd::env::var(\"X\")", "only the command line");
    check("src/x.rs", concat!("//! x\n// TO", "DO: later"), "not done");
    check("src/x.rs", &format!("//! x\n{}", "\n".repeat(600)), "too long");
    assert!(problems(Path::new("actors/src/router/actor.rs"), "//! x\nuse actix::Actor;").is_empty());
}
