//! The verdict in what an agent's terminal shows. Pure.
//!
//! A text is no verdict because it looks like one: it may repeat what somebody else wrote. So the verdict is asked for
//! between two marks that follow from the attempt, which whoever wrote the change could not know. They do not stand in
//! the question either, which only says how to put them together: a terminal that shows the question shows no mark.
//! Once each, on lines of their own, with nothing between them but the verdict, read by its schema: anything else is
//! none.
//!
//! Claude Code's terminal takes what it shows for Markdown, in which a backslash is none, code blocks apart; of their
//! fences it shows nothing. It breaks long lines, at a blank, which it leaves out, or in the middle of a word. A line's end
//! within a text of JSON can be nothing else, since JSON allows none there.

use pointsman_actors::executor::failure::{ErrorClass, Failure};
use sha2::{Digest, Sha256};

use super::super::verdict::{SCHEMA, Verdict};
use super::typed::AT;

/// Most bytes of a verdict in words.
const LARGEST_VERDICT: usize = 256 << 10;

/// Most characters of an answer that are shown when it is no verdict.
const SHOWN: usize = 80;

/// The words before the code of an attempt.
const WORDS: [&str; 2] = ["VERDICT", "END"];

/// What stands around the verdict.
pub struct Marks {
    code: String,
}

impl Marks {
    /// Those of an attempt, by what it is known by.
    pub fn of(attempt: &str) -> Self {
        Self { code: hex::encode(Sha256::digest(format!("verdict of {attempt}")).split_at(8).0) }
    }

    /// What asks for a verdict between them.
    pub fn request(&self) -> String {
        let ([begin, end], code) = (WORDS, &self.code);
        format!(
            "Use no tools. Answer with the verdict as a JSON object in a code block of three backticks, between two lines and \
             nothing else between them. The line before the block is the word `{begin}`, a hyphen and the code `{code}`; the \
             line after it is the word `{end}`, a hyphen and the same code; both without blanks. Write each of the two lines \
             only once. The object is as this schema \
             says:\n{SCHEMA}\nPut each of its members on a line of its own, and keep lines below 70 characters. Above, an at \
             sign is written as `{AT}`, and characters that steer a terminal as symbols."
        )
    }

    /// Whether a message asks for a verdict between these.
    pub fn are_asked_for_in(&self, message: &str) -> bool {
        message.contains(&format!("the code `{}`", self.code))
    }

    fn lines(&self) -> [String; 2] {
        WORDS.map(|word| format!("{word}-{}", self.code))
    }
}

/// Reads the verdict out of an answer.
pub fn read(said: &str, marks: &Marks) -> Result<Verdict, Failure> {
    let between = between(said, marks).ok_or_else(|| {
        let last = said.trim().lines().next_back().unwrap_or_default().trim();
        let last: String = if last.is_empty() { "(nothing)".to_owned() } else { last.chars().take(SHOWN).collect() };
        wrong(&format!("there is no one verdict between the marks that were asked for; it ends with `{last}`"))
    })?;
    if between.len() > LARGEST_VERDICT {
        return Err(wrong("the verdict is too long"));
    }
    let verdict: Verdict = serde_json::from_str(&unbroken(&between)).map_err(|error| wrong(&error.to_string()))?;
    let mut verdict = verdict.checked().map_err(|reason| wrong(&reason))?;
    for issue in &mut verdict.issues {
        issue.message = issue.message.replace(BREAK, " ");
        issue.file = issue.file.take().map(|file| file.replace(BREAK, "").replace(AT, "@"));
    }
    Ok(verdict)
}

fn wrong(what: &str) -> Failure {
    Failure::new(ErrorClass::Validation, format!("the agent behind AgentAPI did not answer as it was asked to: {what}"))
}

/// The lines between the marks, if each is there once, and the fence of a code block is all that is there beside the
/// verdict.
fn between(said: &str, marks: &Marks) -> Option<String> {
    let places = marks.lines().map(|mark| {
        // The line may begin with the bullet of a terminal's answer.
        let is_it = |line: &str| line.trim_matches(|c: char| !c.is_ascii_alphanumeric()) == mark;
        let mut found = said.lines().enumerate().filter(|(_, line)| is_it(line));
        let place = found.next().map(|(place, _)| place);
        place.filter(|_| said.matches(&mark).count() == 1)
    });
    let [Some(begin), Some(end)] = places else { return None };
    let lines = said.lines().skip(begin + 1).take(end.checked_sub(begin + 1)?);
    let lines: Vec<&str> = lines.filter(|line| !line.trim().starts_with("```")).collect();
    Some(lines.join("\n"))
}

/// Stands for where a line was broken within a text.
const BREAK: char = '\n';

/// JSON whose texts are not broken into lines: an end of a line there becomes the escape for it.
fn unbroken(json: &str) -> String {
    let (mut whole, mut in_text, mut escaped) = (String::with_capacity(json.len()), false, false);
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        if in_text && character == '\n' {
            // The terminal indents what it broke.
            while characters.next_if(|next| next.is_whitespace()).is_some() {}
            if !escaped {
                whole.truncate(whole.trim_end_matches(' ').len());
                whole.push_str("\\n");
            }
            continue;
        }
        whole.push(character);
        match character {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ => {}
        }
    }
    whole
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
