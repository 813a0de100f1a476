//! `pointsman serve`

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use pointsman_actors::store::Durability;
use pointsman_actors::time::{Clock, SystemClock};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Cli;
use super::addresses::{self, Rule};
use crate::access::audit::{Deed, Outcome};
use crate::access::trail::Trail;
use crate::boot::{self, End};
use crate::config::webhooks::{Concern, WebhookSettings};
use crate::process;
use crate::reload::Reloader;
use crate::telemetry::{self, Format};

/// Runs the server until it gets SIGTERM or SIGINT; SIGHUP has it read its configuration again.
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
        let on_log_level = telemetry::start(&loaded.settings.log_level, format)?;
        process::keep_to_ourselves();
        for warning in &loaded.settings.warnings {
            tracing::warn!("{warning}");
        }
        let now = SystemClock::new().now();
        for warning in loaded.settings.tokens.iter().filter_map(|token| token.warning(now)) {
            tracing::warn!("{warning}");
        }
        if let Some((profile, origin)) = &loaded.merged.profile {
            tracing::info!("the defaults are those of the profile {} ({origin})", profile.name);
        }
        let plan = boot::Plan { on_log_level, ..boot::plan(&loaded)? };
        let now = plan.clock.now();
        let concern = |source: &WebhookSettings| Some((source.name.clone(), source.concern(now)?));
        let concerns = loaded.settings.webhooks.iter().filter_map(concern).collect();
        let rules = addresses::rules(&loaded.settings, plan.in_force.surface.github_ranges.as_ref());
        let end = actix_rt::System::new().block_on(serve(plan, (concerns, rules)))?;
        Ok(if end == End::Asked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn serve(plan: boot::Plan, (concerns, rules): (Vec<(String, Concern)>, Vec<Rule>)) -> anyhow::Result<End> {
    let clock = SystemClock::new();
    let paths: Vec<String> = plan.in_force.surface.inlets().map(|inlet| inlet.path.clone()).collect();
    let unavailable: Vec<String> = plan.in_force.compiled.unavailable().collect();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hang_up = signal(SignalKind::hangup())?;
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
    for Rule { source, said, is_trap } in rules {
        // The profile that asks for it logs little, and whoever chose that must see it all the same.
        if is_trap {
            tracing::warn!(source, "deliveries are taken {said}");
        } else {
            tracing::info!(source, "deliveries are taken {said}");
        }
    }
    if let Some(warning) = server.certificate.as_ref().and_then(|certificate| certificate.warning(clock.now())) {
        tracing::warn!("{warning}");
    }
    for (source, concern) in concerns {
        tracing::warn!(source, "{concern}");
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
    actix_rt::spawn(reload_when_asked(Arc::clone(&server.reloader), Arc::clone(&server.trail), hang_up));
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

/// SIGHUP has the configuration read again (systemd's `ExecReload=kill -HUP $MAINPID`). Who sends it needs no token; that it came is
/// written down all the same, before anything is done.
async fn reload_when_asked(reloader: Arc<Reloader>, trail: Arc<Trail>, mut hang_up: Signal) {
    while hang_up.recv().await.is_some() {
        let deed = Deed {
            at: reloader.now(),
            operator: "whoever may send signals".to_owned(),
            from: None,
            action: "SIGHUP".to_owned(),
            body: serde_json::Value::Null,
        };
        let id = match trail.asked(deed) {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "SIGHUP cannot be written down, so the configuration was not read again");
                continue;
            }
        };
        let reloaded = reloader.reload().await;
        if let Err(not_reloaded) = &reloaded {
            tracing::error!("the configuration was not read again, everything is as it was: {not_reloaded}");
        }
        let (status, error) = match reloaded.map_err(|not_reloaded| not_reloaded.answered()) {
            Ok(_) => (200, None),
            Err((status, code)) => (status, Some(code.to_owned())),
        };
        if let Err(error) = trail.answered(id, Outcome { at: reloader.now(), status, error }) {
            tracing::error!(%error, "what became of SIGHUP cannot be written down");
        }
    }
}
