//! Which lines of a changed file can be spoken about: GitHub takes comments on lines of the diff and refuses a
//! whole review for one that is elsewhere. Pure.

use std::collections::BTreeSet;

use crate::integrations::github::{ChangedFile, LineComment};

/// A comment that is not posted where it was meant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Dropped {
    /// The comment.
    #[serde(flatten)]
    pub comment: LineComment,
    /// Why.
    pub reason: &'static str,
}

/// The comments whose line is in the diff, and the others.
pub fn sorted(comments: Vec<LineComment>, files: &[ChangedFile]) -> (Vec<LineComment>, Vec<Dropped>) {
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for comment in comments {
        match reason(&comment, files) {
            None => kept.push(comment),
            Some(reason) => dropped.push(Dropped { comment, reason }),
        }
    }
    (kept, dropped)
}

fn reason(comment: &LineComment, files: &[ChangedFile]) -> Option<&'static str> {
    let Some(file) = files.iter().find(|file| file.filename == comment.path) else {
        return Some("the file is not changed");
    };
    let Some(patch) = &file.patch else { return Some("GitHub does not show the diff of the file") };
    (!lines_after(patch).contains(&comment.line)).then_some("the line is not in the diff")
}

/// The lines that a patch shows, numbered as they are after it.
fn lines_after(patch: &str) -> BTreeSet<u64> {
    let (mut lines, mut next) = (BTreeSet::new(), None);
    for line in patch.lines() {
        if line.starts_with("@@") {
            next = start_of(line);
        } else if line.starts_with('+') || line.starts_with(' ') || line.is_empty() {
            lines.extend(next);
            next = next.map(|number| number + 1);
        }
    }
    lines
}

/// Where the new side begins: 12 in `@@ -10,7 +12,8 @@`.
fn start_of(header: &str) -> Option<u64> {
    let new = header.split_whitespace().find_map(|word| word.strip_prefix('+'))?;
    new.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str =
        "@@ -1,3 +1,4 @@ fn a()\n a\n-b\n+B\n+b2\n c\n\\ No newline at end of file\n@@ -40 +41,2 @@\n x\n+y";

    #[test]
    fn lines_are_counted_on_the_new_side() {
        assert_eq!(lines_after(PATCH).into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 41, 42]);
        assert!(lines_after("+no header\n").is_empty());
    }

    #[test]
    fn what_is_not_in_the_diff_is_dropped_with_the_reason() {
        let file = |filename: &str, patch: Option<&str>| ChangedFile {
            filename: filename.into(),
            status: "modified".into(),
            additions: 1,
            deletions: 0,
            patch: patch.map(str::to_owned),
        };
        let files = [file("a.rs", Some(PATCH)), file("b.png", None)];
        let comment = |path: &str, line| LineComment { path: path.into(), line, body: "x".into() };
        let all = vec![comment("a.rs", 2), comment("a.rs", 5), comment("b.png", 1), comment("c.rs", 1)];
        let (kept, dropped) = sorted(all, &files);
        assert_eq!(kept, [comment("a.rs", 2)]);
        let reasons: Vec<_> = dropped.iter().map(|dropped| dropped.reason).collect();
        let expect =
            ["the line is not in the diff", "GitHub does not show the diff of the file", "the file is not changed"];
        assert_eq!(reasons, expect);
    }
}
