//! The binary: hands the command line to the library and turns its outcome into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    pointsman::cli::run()
}
