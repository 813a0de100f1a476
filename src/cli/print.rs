//! What the commands print. The only place that writes to standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::process;

/// Prints a line. Whoever read the output may have gone away, as `head` does when it has seen enough: then the
/// command has done its work and ends without a word.
#[allow(clippy::print_stdout, reason = "this is where it is allowed")]
pub(super) fn say(line: impl Display) {
    if writeln!(io::stdout(), "{line}").is_err() {
        process::exit(0);
    }
}
