//! What the commands print. The only place that writes to standard output.
//!
//! Much of it others have written: titles of pull requests, what a program said before it failed. A terminal takes control
//! characters for orders, so none of them gets through, and what is one line stays one.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;

/// Prints a line. Whoever read the output may have gone away, as `head` does when it has seen enough: then the
/// command has done its work and ends without a word.
pub(super) fn say(line: impl Display) {
    write(&visible(&line.to_string(), false));
}

/// Prints text of several lines.
pub(super) fn say_lines(text: impl Display) {
    write(&visible(&text.to_string(), true));
}

/// Says on standard error why a command failed.
pub(super) fn complain(error: &anyhow::Error) {
    eprintln!("pointsman: {}", visible(&format!("{error:#}"), true));
}

#[allow(clippy::print_stdout, reason = "this is where it is allowed")]
fn write(text: &str) {
    if writeln!(io::stdout(), "{text}").is_err() {
        process::exit(0);
    }
}

/// A text with what a terminal would obey written out as JSON does.
fn visible(text: &str, has_lines: bool) -> Cow<'_, str> {
    let is_order = |c: char| match c {
        '\t' => false,
        '\n' => !has_lines,
        // Characters that turn around the order in which others are shown (Unicode Standard Annex #9).
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    };
    if !text.contains(is_order) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' if !has_lines => shown.push_str("\\n"),
            c if is_order(c) => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_no_orders() {
        let check = |text: &str, line: &str, lines: &str| {
            assert_eq!((&*visible(text, false), &*visible(text, true)), (line, lines));
        };
        check("plain, with ü and → and\ttab", "plain, with ü and → and\ttab", "plain, with ü and → and\ttab");
        check("a\u{1b}]52;c;x\u{7}b", "a\\u001b]52;c;x\\u0007b", "a\\u001b]52;c;x\\u0007b");
        check("a\nb\r\n", "a\\nb\\u000d\\n", "a\nb\\u000d\n");
        check("\u{9b}2J\u{7f}\u{202e}", "\\u009b2J\\u007f\\u202e", "\\u009b2J\\u007f\\u202e");
    }
}
