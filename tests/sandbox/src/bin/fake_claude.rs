//! Takes the place of `claude` in headless mode: as strict about its arguments, and it says what the sandbox has
//! planned. It tells the sandbox all that it finds where it works, and is a good victim: whatever a repository there
//! wants to have run, ordered or read is done, whatever its arguments say of that.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use pointsman_sandbox::claude::Plan;
use serde_json::{Value as Json, json};

/// The arguments of `claude` that are known here; any other is refused as the real one does.
#[derive(Parser)]
#[command(name = "claude", disable_help_flag = true)]
struct Options {
    /// Where the sandbox is
    #[arg(long)]
    sandbox: String,
    #[arg(short = 'p', long)]
    print: bool,
    #[arg(long, default_value = "text")]
    output_format: String,
    #[arg(long)]
    json_schema: Option<String>,
    #[arg(long)]
    max_turns: Option<u32>,
    #[arg(long)]
    tools: Option<String>,
    #[arg(long)]
    permission_mode: Option<String>,
    #[arg(long)]
    no_session_persistence: bool,
    #[arg(long)]
    strict_mcp_config: bool,
    #[arg(long)]
    setting_sources: Option<String>,
    #[arg(long)]
    restricted: bool,
    #[arg(long)]
    model: Option<String>,
    prompt: Option<String>,
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return complain(error.to_string().lines().next().unwrap_or_default()),
    };
    match run(&options) {
        Ok(code) => code,
        Err(error) => complain(&format!("{error:#}")),
    }
}

fn complain(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::FAILURE
}

fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if !options.print || options.output_format != "json" {
        anyhow::bail!("error: only -p with --output-format json is played here");
    }
    if let Some(schema) = &options.json_schema {
        serde_json::from_str::<Json>(schema).map_err(|error| anyhow::anyhow!("error: --json-schema: {error}"))?;
        anyhow::ensure!(!schema.contains("$ref"), "error: --json-schema: references are not followed");
    }
    let mut prompt = options.prompt.clone().unwrap_or_default();
    if prompt.is_empty() {
        std::io::stdin().read_to_string(&mut prompt)?;
    }
    if prompt.trim().is_empty() {
        anyhow::bail!("Error: Input must be provided either through stdin or as a prompt argument when using --print");
    }
    let plan = ask(options, &prompt)?;
    if plan.leaves_a_child {
        Command::new("sleep").arg("300").spawn()?;
    }
    std::thread::sleep(Duration::from_millis(plan.delay_ms));
    // A reader that has gone is nobody's fault.
    let _ = std::io::stdout().write_all(said(&plan).as_bytes());
    let failed = plan.api_error_status.is_some() || plan.reaches_max_turns;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::from(u8::try_from(plan.exit_code).unwrap_or(1)) })
}

fn ask(options: &Options, prompt: &str) -> anyhow::Result<Plan> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let place = std::env::current_dir()?;
    let mut found = Vec::new();
    walk(&place, &place, &mut found)?;
    let obeyed: Vec<String> = found.iter().filter_map(|entry| obey(&place, entry)).collect();
    let files: Vec<String> = found.iter().map(|entry| format!("{} {}", entry.what, entry.path)).collect();
    let body = json!({
        "prompt": prompt, "env": names, "pid": std::process::id(), "place": place, "files": files, "obeyed": obeyed,
        "tools": options.tools, "restricted": options.restricted,
    });
    let http = reqwest::blocking::Client::builder().no_proxy().build()?;
    Ok(http.post(format!("{}/claude/calls", options.sandbox)).json(&body).send()?.error_for_status()?.json()?)
}

/// Something where it works.
struct Found {
    /// From there on.
    path: String,
    /// Its kind and its permissions, as `file 600`.
    what: String,
}

fn walk(top: &Path, directory: &Path, found: &mut Vec<Found>) -> anyhow::Result<()> {
    let mut entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, about) = (entry.path(), entry.metadata()?);
        let kind = match about.file_type() {
            kind if kind.is_dir() => "directory",
            kind if kind.is_symlink() => "link",
            _ => "file",
        };
        let what = format!("{kind} {:o}", about.permissions().mode() & 0o7777);
        found.push(Found { path: path.strip_prefix(top)?.display().to_string(), what });
        if kind == "directory" {
            walk(top, &path, found)?;
        }
    }
    Ok(())
}

/// Does what something wants, and says what it was.
fn obey(top: &Path, found: &Found) -> Option<String> {
    let path = top.join(&found.path);
    let name = path.file_name()?.to_str()?.to_lowercase();
    let text = || std::fs::read_to_string(&path).unwrap_or_default();
    if found.what.starts_with("link") {
        return Some(format!("read {}: {}", found.path, text()));
    }
    if ["claude.md", "claude.local.md", "agents.md"].contains(&name.as_str()) {
        return Some(format!("ordered by {}: {}", found.path, text()));
    }
    if !name.starts_with("settings") && name != ".mcp.json" {
        return None;
    }
    // Hooks and servers are commands, wherever they stand in it.
    let (settings, mut commands) = (serde_json::from_str(&text()).unwrap_or_default(), Vec::new());
    commands_in(&settings, &mut commands);
    for command in &commands {
        let _ = Command::new("/bin/sh").args(["-c", command]).status();
    }
    Some(format!("ran for {}: {commands:?}", found.path))
}

fn commands_in(value: &Json, commands: &mut Vec<String>) {
    match value {
        Json::Object(fields) => {
            commands.extend(fields.get("command").and_then(Json::as_str).map(str::to_owned));
            fields.values().for_each(|value| commands_in(value, commands));
        }
        Json::Array(items) => items.iter().for_each(|value| commands_in(value, commands)),
        _ => {}
    }
}

/// The result in the form of the real one.
fn said(plan: &Plan) -> String {
    if let Some(stdout) = &plan.stdout {
        return stdout.clone();
    }
    let mut result = json!({
        "type": "result", "subtype": "success", "is_error": false, "num_turns": 1, "duration_ms": plan.delay_ms,
        "session_id": "00000000-0000-4000-8000-000000000000", "total_cost_usd": 0.01, "stop_reason": "end_turn",
        "terminal_reason": "completed", "api_error_status": null, "usage": {"input_tokens": 1, "output_tokens": 1},
    });
    let verdict = json!({"verdict": plan.verdict, "score": plan.score, "issues": plan.issues});
    let more = match plan.api_error_status {
        // The real one leaves out the key `result` then.
        _ if plan.reaches_max_turns => json!({
            "subtype": "error_max_turns", "is_error": true, "terminal_reason": "max_turns", "stop_reason": "tool_use",
            "errors": ["Reached maximum number of turns"],
        }),
        Some(status) => json!({
            "is_error": true, "api_error_status": status, "terminal_reason": "api_error",
            "result": format!("API Error: {status} by plan"),
        }),
        None => json!({"result": verdict.to_string(), "structured_output": verdict}),
    };
    if let (Some(result), Some(more)) = (result.as_object_mut(), more.as_object()) {
        result.extend(more.clone());
    }
    result.to_string()
}
