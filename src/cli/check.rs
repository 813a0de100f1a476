//! `pointsman check`

use std::process::ExitCode;

use clap::Args;
use pointsman_actors::router::routing::Availability;
use pointsman_actors::time::{Clock, SystemClock};

use super::Cli;
use super::addresses::{self, Rule};
use super::print::{say, say_lines};
use crate::config::webhooks::Concern;
use crate::workflows::Compiled;
use crate::{boot, config};

/// Checks configuration, workflows and routes without starting anything.
#[derive(Args)]
pub struct Check {
    /// List every key with its value and where it came from; secrets are hidden
    #[arg(long)]
    all: bool,
    /// Print a configuration file with every key and its default, and check nothing
    #[arg(long)]
    print_sample: bool,
}

impl Check {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        if self.print_sample {
            say_lines(config::sample().trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        let loaded = cli.load(Vec::new())?;
        let plan = boot::plan(&loaded)?;
        if self.all {
            for (key, value, origin) in loaded.merged.listing() {
                say(format_args!("{key} = {value}  ({origin})"));
            }
            say("");
        }
        for warning in &loaded.settings.warnings {
            say(format_args!("warning: {warning}"));
        }
        let now = SystemClock::new().now();
        if let Some(warning) = plan.certificate.as_ref().and_then(|certificate| certificate.warning(now)) {
            say(format_args!("warning: {warning}"));
        }
        let mut is_deaf = false;
        for source in &loaded.settings.webhooks {
            let Some(concern) = source.concern(now) else { continue };
            let is_error = concern == Concern::NoneValid && source.is_demanded;
            is_deaf |= is_error;
            say(format_args!("{}: webhooks.{}: {concern}", if is_error { "error" } else { "warning" }, source.name));
        }
        let file = loaded.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
        say(format_args!("configuration: ok ({file})"));
        if let Some((profile, origin)) = &loaded.merged.profile {
            say(format_args!("profile:       {} ({origin})", profile.name));
        }
        say(format_args!("listen:        {}", boot::url(plan.certificate.is_some(), &plan.listen)));
        say(format_args!("data:          {}", plan.data_dir.display()));
        for source in &loaded.settings.webhooks {
            let signed = if source.allow_unsigned {
                "unsigned".to_owned()
            } else {
                format!("{} secret(s)", source.secrets.len())
            };
            say(format_args!("source:        {:<12} POST {}  {signed}", source.name, source.path));
        }
        if loaded.settings.webhooks.is_empty() {
            say("source:        none is on; set a secret such as GITHUB_WEBHOOK_SECRET");
        }
        for Rule { source, said, .. } in
            addresses::rules(&loaded.settings, plan.in_force.surface.github_ranges.as_ref())
        {
            say(format_args!("addresses:     {source:<12} {said}"));
        }
        let now = SystemClock::new().now();
        for token in &loaded.settings.tokens {
            let known = &token.known;
            let until = known.expires.map(|end| format!("  until {end}")).unwrap_or_default();
            say(format_args!("token:         {:<12} {}{until}", known.name, known.scope.name()));
            token.warning(now).into_iter().for_each(|warning| say(format_args!("warning:       {warning}")));
        }
        for target in &loaded.settings.integrations.notifications {
            let named = if target.is_default { "default" } else { "when it is named" };
            say(format_args!("notifies:      {:<12} {}  {named}", target.name, target.kind.name()));
        }
        let Compiled { catalog, rules, .. } = &plan.in_force.compiled;
        let widest = catalog.all().map(|workflow| workflow.name.len()).max().unwrap_or_default();
        for workflow in catalog.all() {
            let standing = match rules.workflows.get(&workflow.name) {
                Some(Availability::Unavailable { reason }) => format!("unavailable: {reason}"),
                _ => "available".to_owned(),
            };
            say(format_args!("workflow:      {:<widest$} {} steps  {standing}", workflow.name, workflow.steps.len()));
        }
        for route in rules.routes.listing() {
            say(format_args!("route:         {route}"));
        }
        Ok(if is_deaf { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
