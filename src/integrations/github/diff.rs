//! What a pull request changes, and whether that is all of it: nobody is to call a change good of which
//! a part was never looked at.

use pointsman_actors::executor::failure::Failure;
use serde::Deserialize;

use super::call::Call;
use super::paths::repository_path;
use super::{GitHub, json_of};
use crate::integrations::http::Answer;

/// Most bytes of a diff that are kept: about 130,000 tokens, which leaves a model with a context of
/// 200,000 room to think.
const LARGEST_DIFF: usize = 400 << 10;

/// Changed files on a page.
const PER_PAGE: usize = 50;

/// Pages of changed files that are read when the diff is too large to be given whole. GitHub lists at
/// most 3,000 files; the limit of bytes comes first.
const FILE_PAGES: u32 = 60;

/// Most bytes of such a page that are read.
const LARGEST_PAGE: usize = 16 << 20;

/// What GitHub answers when a diff is too large to be given whole.
const TOO_LARGE: u16 = 406;

const DIFF: &str = "application/vnd.github.diff";

/// What a pull request changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// In the form of `git diff`.
    pub text: String,
    /// Whether it is all that changes. If not, the text says where it ends or what it leaves out.
    pub is_whole: bool,
}

impl GitHub {
    /// What a pull request changes. A diff that GitHub does not give whole is put together from its files.
    pub async fn diff(&self, repository: &str, number: u64) -> Result<Diff, Failure> {
        let path = format!("/repos/{}/pulls/{number}", repository_path(repository)?);
        let call = Call { accept: DIFF, largest: LARGEST_DIFF, ..Call::get(&path) };
        let answer = self.ask(&call).await?;
        if answer.status == TOO_LARGE {
            return self.diff_by_files(&path).await;
        }
        let answer = self.accepted(&call, answer)?;
        Ok(cut(String::from_utf8_lossy(&answer.body).into_owned(), !answer.cut))
    }

    async fn diff_by_files(&self, pull: &str) -> Result<Diff, Failure> {
        let (mut text, mut is_whole, mut is_last) = (String::new(), true, false);
        for page in 1..=FILE_PAGES {
            let path = format!("{pull}/files?per_page={PER_PAGE}&page={page}");
            let answer = self.call(&Call { largest: LARGEST_PAGE, ..Call::get(&path) }).await?;
            if answer.cut {
                break;
            }
            let files = changed_files(&path, &answer)?;
            for file in &files {
                is_whole &= file.is_shown();
                text.push_str(&file.as_diff());
            }
            is_last = files.len() < PER_PAGE;
            if is_last || text.len() > LARGEST_DIFF {
                break;
            }
        }
        Ok(cut(text, is_whole && is_last))
    }
}

#[derive(Deserialize)]
pub(super) struct ChangedFile {
    filename: String,
    /// Changed lines; none in what is binary or only renamed.
    #[serde(default)]
    changes: u64,
    /// Left out by GitHub when it is too long.
    #[serde(default)]
    pub(super) patch: Option<String>,
}

impl ChangedFile {
    fn is_shown(&self) -> bool {
        self.patch.is_some() || self.changes == 0
    }

    fn as_diff(&self) -> String {
        let missing = if self.changes == 0 { "(binary, or renamed only)" } else { "[too large: left out here]" };
        format!("diff --git a/{0} b/{0}\n{1}\n", self.filename, self.patch.as_deref().unwrap_or(missing))
    }
}

/// A list that cannot be read is not an empty one: nobody is to judge a change without what it changes.
pub(super) fn changed_files(path: &str, answer: &Answer) -> Result<Vec<ChangedFile>, Failure> {
    json_of(&format!("GET {path}"), answer)
}

/// Cuts a diff at a line if it is too long, and says so in it.
pub(super) fn cut(mut text: String, is_whole: bool) -> Diff {
    if text.len() <= LARGEST_DIFF && is_whole {
        return Diff { text, is_whole };
    }
    let mut end = text.len().min(LARGEST_DIFF);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text.get(..end).and_then(|kept| kept.rfind('\n')).map_or(end, |line| line + 1);
    text.truncate(end);
    text.push_str("[not all that changes stands above]\n");
    Diff { text, is_whole: false }
}

#[cfg(test)]
mod tests {
    use pointsman_actors::executor::failure::ErrorClass;
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(body: &'static str) -> Answer {
        Answer { status: 200, headers: HeaderMap::new(), body: body.into(), cut: false }
    }

    #[test]
    fn what_is_cut_says_so_and_is_not_whole() {
        let long = cut("line\n".repeat(300_000), true);
        assert!(
            long.text.len() <= LARGEST_DIFF + 40 && long.text.ends_with("line\n[not all that changes stands above]\n")
        );
        assert!(!long.is_whole);
        assert_eq!(cut("small\n".into(), true), Diff { text: "small\n".into(), is_whole: true });
        let broken_off = Diff { text: "small\n[not all that changes stands above]\n".into(), is_whole: false };
        assert_eq!(cut("small\n".into(), false), broken_off);
    }

    #[test]
    fn a_file_without_its_patch_is_not_shown_unless_no_line_of_it_changed() {
        let body =
            r#"[{"filename":"a","changes":1,"patch":"+x"},{"filename":"b","changes":9000},{"filename":"c.png"}]"#;
        let files = changed_files("/x", &answer(body)).unwrap();
        let shown: Vec<bool> = files.iter().map(ChangedFile::is_shown).collect();
        assert_eq!(shown, [true, false, true]);
        assert_eq!(files[1].as_diff(), "diff --git a/b b/b\n[too large: left out here]\n");
    }

    #[test]
    fn files_that_cannot_be_read_are_not_no_files() {
        for wrong in [r#"{"message":"moved"}"#, r#"[{"name":"a"}]"#] {
            let failure = changed_files("/x", &answer(wrong)).err().unwrap();
            assert_eq!(failure.class, ErrorClass::Validation);
        }
    }
}
