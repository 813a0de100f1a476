//! Takes the place of `claude` in headless mode: as strict about its arguments, and it says what the
//! sandbox has planned.

use std::io::{Read, Write};
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
    let failed = plan.api_error_status.is_some();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::from(u8::try_from(plan.exit_code).unwrap_or(1)) })
}

fn ask(options: &Options, prompt: &str) -> anyhow::Result<Plan> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let body = json!({"prompt": prompt, "env": names, "pid": std::process::id()});
    let http = reqwest::blocking::Client::builder().no_proxy().build()?;
    Ok(http.post(format!("{}/claude/calls", options.sandbox)).json(&body).send()?.error_for_status()?.json()?)
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
        Some(status) => json!({
            "is_error": true, "api_error_status": status, "terminal_reason": "api_error",
            "result": format!("API Error: {status}"),
        }),
        None => json!({"result": verdict.to_string(), "structured_output": verdict}),
    };
    if let (Some(result), Some(more)) = (result.as_object_mut(), more.as_object()) {
        result.extend(more.clone());
    }
    result.to_string()
}
