//! What parked runs cost: runs whose step is a pause of a day.

use std::path::Path;
use std::time::Instant;

use super::deliveries;
use super::server::{Setting, memory, until_open};

/// Runs that pause.
pub const DEFINITION: &str = r#"
[workflows.parked]
timeout = "2d"

[[workflows.parked.steps]]
name = "pause"
action = "delay"
with = { duration = "1d" }

[[routes]]
name = "parked"
source = "github"
event = "push"
when = "facts.head_ref == 'parked'"
workflow = "parked"
input = { repository = "facts.repository" }
"#;

/// Parks `number` runs, and prints the memory before, then, and after another start.
pub async fn measure(binary: &Path, number: u32) -> anyhow::Result<()> {
    println!("\nparked: {number} runs in a pause of a day; goal 500 MB for 100000\n");
    let setting = Setting::new(binary, DEFINITION, "http://127.0.0.1:9".to_owned())?;
    let server = setting.start().await?;
    let (empty, _) = memory(&server.child)?;
    let begin = Instant::now();
    deliveries::push(&server.base, "parked", number).await?;
    until_open(&server.base, 0, number.into()).await?;
    let took = begin.elapsed().as_secs_f64();
    let (parked, peak) = memory(&server.child)?;
    drop(server);
    let begin = Instant::now();
    let server = setting.start().await?;
    let ready = begin.elapsed();
    // The dispatcher lets nobody go on before it knows all runs: one more that parks has waited for them.
    deliveries::push(&server.base, "parked", 1).await?;
    until_open(&server.base, 0, u64::from(number) + 1).await?;
    let known = begin.elapsed();
    let (again, peak_again) = memory(&server.child)?;
    let each = |now: u64| now.saturating_sub(empty) * 1024 * 1024 / u64::from(number).max(1);
    println!("empty             {empty:>5} MiB resident");
    println!(
        "parked            {parked:>5} MiB resident, {peak} MiB peak, {} bytes a run; {:.0} parked a second",
        each(parked),
        f64::from(number) / took
    );
    println!(
        "started again     {again:>5} MiB resident, {peak_again} MiB peak, {} bytes a run; ready after {ready:.2?}, \
         all known after {known:.2?}",
        each(again)
    );
    Ok(())
}
