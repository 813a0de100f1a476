//! `pointsman serve`

use std::process::ExitCode;

use clap::Args;
use pointsman_actors::store::Durability;
use pointsman_actors::time::{Clock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

use super::Cli;
use crate::boot::{self, End};
use crate::config::webhooks::{Concern, WebhookSettings};
use crate::telemetry::{self, Format};

/// Runs the server until it gets SIGTERM or SIGINT.
#[derive(Args)]
pub struct Serve {
    /// Address to listen on
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one
    #[arg(long)]
    port: Option<u16>,
}

impl Serve {
    pub(super) fn run(&self, cli: &Cli) -> anyhow::Result<ExitCode> {
        let host = self.host.iter().map(|host| ("--host", "server.host", host.clone()));
        let port = self.port.iter().map(|port| ("--port", "server.port", port.to_string()));
        let loaded = cli.load(host.chain(port).collect())?;
        let format = if loaded.settings.log_json { Format::Json } else { Format::Text };
        telemetry::start(&loaded.settings.log_level, format)?;
        let now = SystemClock::new().now();
        for warning in loaded.settings.tokens.iter().filter_map(|token| token.warning(now)) {
            tracing::warn!("{warning}");
        }
        let plan = boot::plan(&loaded)?;
        let now = plan.clock.now();
        let concern = |source: &WebhookSettings| Some((source.name.clone(), source.concern(now)?));
        let concerns = loaded.settings.webhooks.iter().filter_map(concern).collect();
        let end = actix_rt::System::new().block_on(serve(plan, loaded.merged.without_effect, concerns))?;
        Ok(if end == End::Asked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn serve(plan: boot::Plan, without_effect: Vec<&str>, concerns: Vec<(String, Concern)>) -> anyhow::Result<End> {
    let clock = SystemClock::new();
    let paths: Vec<String> = plan.inlets.iter().map(|inlet| inlet.path.clone()).collect();
    let unavailable: Vec<String> = plan.compiled.unavailable().collect();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = boot::start(plan).await?;
    tracing::info!(
        address = %server.address,
        webhooks = paths.join(" "),
        store = server.store.name(),
        events = server.store.counts().events,
        ready_in = ?clock.elapsed(),
        "pointsman {} listens on {}",
        env!("CARGO_PKG_VERSION"),
        server.url()
    );
    if let Some(warning) = server.certificate.as_ref().and_then(|certificate| certificate.warning(clock.now())) {
        tracing::warn!("{warning}");
    }
    for (source, concern) in concerns {
        tracing::warn!(source, "{concern}");
    }
    for name in without_effect {
        tracing::info!(variable = name, "this variable has no effect here");
    }
    if server.store.durability() == Durability::Process {
        tracing::warn!("the store is `memory`: every event is lost when this process ends");
    }
    if paths.is_empty() {
        tracing::warn!("no webhook source is on; set a secret such as GITHUB_WEBHOOK_SECRET");
    }
    for workflows in unavailable {
        tracing::info!("{workflows}");
    }
    let asked = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let end = server.serve_until(asked).await;
    if end == End::Asked {
        tracing::info!("stopped; all that was acknowledged is durable");
    } else {
        tracing::error!("stopped: a component that nothing goes without was given up");
    }
    Ok(end)
}
