//! Steps a second, and what a step costs beyond its attempt, for several numbers of runs at a time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use pointsman::boot::{self, Plan};
use pointsman::config::{self, Flags};
use pointsman::workflows;
use pointsman_actors::executor::port::Action;
use pointsman_load::{SECRET, quantile};

use super::nothing::Nothing;
use super::{Sizes, bare, deliveries};

/// The workflow whose steps do nothing.
pub const WORKFLOW: &str = "idle";

/// Runs that are there when a measurement begins, for each of its seconds: more than get done.
const RUNS_A_SECOND: u64 = 2_500;

/// What was measured of the engine.
struct Engine {
    /// Steps a second.
    rate: f64,
    /// Commits a second.
    commits: f64,
    p50: Duration,
    p99: Duration,
}

/// Measures engine and bare store in turn, and prints a line for each number of runs.
pub async fn measure(sizes: &Sizes) -> anyhow::Result<()> {
    let Sizes { seconds, rounds, steps, .. } = sizes;
    println!(
        "\nsteps: {steps} a run, {seconds} s a measurement, median of {rounds}; \
         goal 5000/s with 16 runs at a time or more, p50 5 ms, p99 20 ms\n"
    );
    println!("runs at a time   engine steps/s   commits/s   overhead p50          p99   bare store steps/s   ratio");
    for at_once in &sizes.runs {
        let (mut engines, mut bares, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..(*rounds).max(1) {
            let engine = round(sizes, *at_once).await?;
            let bare = bare::steps(&definition(*steps), sizes, *at_once).await?;
            ratios.push(engine.rate / bare);
            bares.push(bare);
            engines.push(engine);
        }
        let of = |figure: fn(&Engine) -> f64| median(engines.iter().map(figure).collect());
        println!(
            "{at_once:>14}   {:>14.0}   {:>9.0}   {:>9.2} ms   {:>7.2} ms   {:>18.0}   {:>5.3}",
            of(|engine| engine.rate),
            of(|engine| engine.commits),
            of(|engine| engine.p50.as_secs_f64() * 1e3),
            of(|engine| engine.p99.as_secs_f64() * 1e3),
            median(bares),
            median(ratios),
        );
    }
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// A server of its own that has more runs than it gets done, `at_once` of them at work.
async fn round(sizes: &Sizes, at_once: usize) -> anyhow::Result<Engine> {
    let directory = tempfile::tempdir()?;
    let nothing = Nothing::new();
    let server = boot::start(plan(directory.path(), &definition(sizes.steps), at_once, &nothing)?).await?;
    let runs = u32::try_from(sizes.seconds * RUNS_A_SECOND)?.max(u32::try_from(at_once)?);
    deliveries::push(&format!("http://{}", server.address), "main", runs).await?;
    nothing.until_waiting(at_once).await;
    let before = server.store.counts().commits;
    let begin = Instant::now();
    nothing.begin();
    let over = begin + Duration::from_secs(sizes.seconds);
    while Instant::now() < over && server.store.counts().succeeded < u64::from(runs) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (mut notes, commits) = (nothing.take_notes(), server.store.counts().commits - before);
    server.stop().await;
    notes.gaps.sort();
    let took = notes.last.context("no attempt was made")? - begin;
    let gap = |percent| quantile(&notes.gaps, percent).context("no run made a second attempt");
    Ok(Engine { rate: a_second(notes.returned, took), commits: a_second(commits, took), p50: gap(50)?, p99: gap(99)? })
}

#[allow(clippy::cast_precision_loss, reason = "a rate")]
fn a_second(number: u64, took: Duration) -> f64 {
    number as f64 / took.as_secs_f64()
}

/// Steps one after the other, each of which reads the input and the output of the one before it.
pub fn definition(steps: usize) -> String {
    let mut toml = format!("[workflows.{WORKFLOW}]\ntimeout = \"1d\"\n");
    for step in 1..=steps {
        let before = if step == 1 { String::new() } else { format!("{{{{ steps.s{}.output.step }}}}", step - 1) };
        let _ = write!(
            toml,
            "\n[[workflows.{WORKFLOW}.steps]]\nname = \"s{step}\"\naction = \"nothing\"\n\
             with = {{ text = \"{{{{ input.repository }}}} {before}\" }}\n"
        );
    }
    toml + &format!(
        "\n[[routes]]\nname = \"push\"\nsource = \"github\"\nevent = \"push\"\nworkflow = \"{WORKFLOW}\"\n\
         input = {{ repository = \"facts.repository\" }}\n"
    )
}

/// What `serve` would start with this definition, with one more action.
pub fn plan(directory: &Path, definition: &str, at_once: usize, nothing: &Arc<Nothing>) -> anyhow::Result<Plan> {
    let file = directory.join("config.toml");
    std::fs::write(&file, definition)?;
    let environment = [
        ("GITHUB_WEBHOOK_SECRET", SECRET),
        ("POINTSMAN_DATA_DIR", &directory.join("data").display().to_string()),
        ("WEBHOOK_HOST", "127.0.0.1"),
        ("WEBHOOK_PORT", "0"),
        ("EVENT_QUEUE_MAX_SIZE", "10000000"),
        ("WORKFLOW_MAX_CONCURRENT", &at_once.to_string()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let cores = std::thread::available_parallelism()?.get();
    let mut loaded = config::load(&environment, &Flags { file: Some(file), values: Vec::new() }, cores)?;
    // Known actions first, then the definition that names another one.
    let written = std::mem::take(&mut loaded.definitions);
    let mut plan = boot::plan(&loaded)?;
    let mut actions: BTreeMap<&'static str, Arc<dyn Action>> = plan.actions.as_ref().clone();
    actions.insert(nothing.info().name, Arc::clone(nothing) as Arc<dyn Action>);
    plan.actions = Arc::new(actions);
    loaded.definitions = written;
    plan.in_force.compiled = workflows::compile(&loaded, &plan.actions)?;
    Ok(plan)
}
