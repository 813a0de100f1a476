//! `pointsman send`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use pointsman_actors::time::{Clock, SystemClock};
use serde_json::Value;

use super::client::Client;
use super::print::say;
use super::{Cli, Target};
use crate::config::webhooks::SecretSettings;
use crate::sources::{Secret, Standing};

/// Sends a signed sample to a running server, with the secret of this configuration.
#[derive(Args)]
pub struct Send {
    #[command(flatten)]
    target: Target,
    /// The source: github, linear, codegen, claude-code, or one of the configuration
    #[arg(default_value = "github")]
    source: String,
    /// GitHub's event type
    #[arg(long, default_value = "pull_request")]
    event: String,
    /// The payload; a small sample without it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A further header, such as "x-event: order"
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The delivery id; a new one without it
    #[arg(long, value_name = "ID")]
    delivery: Option<String>,
}

/// A pull request of Codegen, as far as facts ask for it.
const PULL_REQUEST: &str = include_str!("samples/pull_request.json");
const LINEAR: &str = include_str!("samples/linear_issue.json");
const CODEGEN: &str = include_str!("samples/codegen_generation.json");
const CLAUDE_CODE: &str = include_str!("samples/claude_code_stop.json");

impl Send {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        let settings = cli.load(Vec::new())?.settings;
        let source = settings.webhooks.iter().find(|source| source.name == self.source);
        let Some(source) = source else {
            bail!("the source `{}` is not on here; set its secret as the server has it", self.source);
        };
        let body = self.body()?;
        let now = SystemClock::new().now();
        let counts = |secret: &&SecretSettings| matches!(secret.validity.standing(now), Standing::Valid(_));
        let secret = source.secrets.iter().find(counts).map(|secret| secret.text.expose());
        let code = secret.map(|secret| hex::encode(Secret::new(secret).sign(&body))).unwrap_or_default();
        let delivery = self.delivery.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let mut headers: Vec<(String, String)> =
            [("content-type", "application/json"), ("user-agent", "pointsman-send")].map(owned).into();
        headers.extend(self.headers.clone());
        if let Some((recipe, secret)) = source.recipe.as_ref().zip(secret) {
            headers.extend(recipe.scheme.prove(secret, &delivery, now, &body));
        }
        let built_in = match source.name.as_str() {
            "github" => vec![
                ("x-hub-signature-256", format!("sha256={code}")),
                ("x-github-event", self.event.clone()),
                ("x-github-delivery", delivery),
                ("x-github-hook-id", "1".to_owned()),
            ],
            "linear" => vec![("linear-signature", code), ("linear-delivery", delivery)],
            "codegen" => vec![("x-codegen-signature", format!("sha256={code}"))],
            "claude-code" => vec![("x-claude-signature", format!("sha256={code}"))],
            _ => Vec::new(),
        };
        headers.extend(built_in.iter().map(|(name, value)| owned((*name, value.as_str()))));
        let (status, answer) = Client::of(cli, &self.target)?.deliver(&source.path, &headers, body)?;
        say(format_args!("{status} {answer}"));
        Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn body(&self) -> anyhow::Result<Vec<u8>> {
        let given = self
            .file
            .as_ref()
            .map(|file| std::fs::read(file).with_context(|| format!("`{}` cannot be read", file.display())));
        let given = given.transpose()?;
        if let Some(given) = given.as_ref().filter(|_| self.source != "linear") {
            return Ok(given.clone());
        }
        let sample = match self.source.as_str() {
            "github" => PULL_REQUEST,
            "linear" => LINEAR,
            "codegen" => CODEGEN,
            "claude-code" => CLAUDE_CODE,
            _ => "{}",
        };
        let body = given.unwrap_or_else(|| sample.into());
        let mut sample: Value = serde_json::from_slice(&body).context("the payload is not JSON")?;
        if let Some(timestamp) = sample.get_mut("webhookTimestamp") {
            // Linear signs when it sent.
            *timestamp = SystemClock::new().now().millis().into();
        }
        Ok(serde_json::to_vec(&sample)?)
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("give a name, a colon and a value")?;
    Ok(owned((name.trim(), value.trim())))
}
