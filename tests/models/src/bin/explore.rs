//! Explores the models as deep as one likes: `explore [--depth N] [MODEL]`. See `scripts/explore`.

use std::process::ExitCode;

use clap::Parser;
use pointsman_models::explore::explore;

/// Explores the protocols of the engine over all interleavings up to a depth.
#[derive(Parser)]
struct Arguments {
    /// How many steps to follow; otherwise as many as the tests do.
    #[arg(long)]
    depth: Option<usize>,
    /// Only models whose name has this in it.
    model: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = arguments.model.unwrap_or_default();
    for (setup, depth) in pointsman_models::models().into_iter().filter(|(setup, _)| setup.name.contains(&wanted)) {
        let seen = explore(setup, arguments.depth.unwrap_or(depth));
        println!("{seen}");
        if let Some(found) = seen.counterexample {
            println!("{found}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
