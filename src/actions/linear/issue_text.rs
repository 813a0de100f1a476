//! What people write into a ticket, read for a program: a summary, what is to be done, when it is done, and where.
//! Pure.
//!
//! People write Markdown without rules, so what is read are habits: check-boxes and lists are tasks, unless they
//! stand under something that speaks of acceptance.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde::Serialize;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// In words.
    pub text: String,
    /// Whether somebody has ticked it off.
    pub done: bool,
}

/// What a description says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The first paragraph that is neither a task nor a criterion.
    pub summary: String,
    /// What is to be done.
    pub tasks: Vec<Task>,
    /// When it is done.
    pub acceptance_criteria: Vec<String>,
}

/// What stands under a heading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Section {
    /// Before any heading, or under one that says what is to be done.
    #[default]
    Tasks,
    /// Under one that says when it is done.
    Criteria,
    /// Under another.
    Other,
}

/// Words of headings under which it stands when something is done.
const OF_CRITERIA: [&str; 4] = ["acceptance", "definition of done", "done when", "success criteria"];

/// Words of headings under which it stands what is to be done.
const OF_TASKS: [&str; 7] = ["task", "to do", "todo", "to-do", "steps", "requirement", "implementation"];

/// A paragraph that ends with a colon and is no longer is a heading.
const LONGEST_HEADING: usize = 60;

impl Section {
    fn under(heading: &str) -> Self {
        let heading = heading.to_lowercase();
        let speaks_of = |words: &[&str]| words.iter().any(|word| heading.contains(word));
        match () {
            () if speaks_of(&OF_CRITERIA) => Self::Criteria,
            () if speaks_of(&OF_TASKS) => Self::Tasks,
            () => Self::Other,
        }
    }
}

/// A part of a description.
#[derive(Debug, PartialEq)]
enum Block {
    Heading(String),
    Paragraph { text: String, is_bold: bool },
    Item { text: String, checked: Option<bool> },
}

/// What a description says.
pub fn read(markdown: &str) -> Reading {
    let (mut reading, mut section, mut others) = (Reading::default(), Section::default(), Vec::new());
    // Under a heading of criteria that has a list, the list is the criteria.
    let mut is_listed = false;
    for block in blocks(markdown) {
        match block {
            Block::Heading(text) => (section, is_listed) = (Section::under(&text), false),
            Block::Paragraph { text, is_bold } if is_heading(&text, is_bold) => {
                (section, is_listed) = (Section::under(&text), false);
            }
            Block::Paragraph { text, .. } if section == Section::Criteria && !is_listed => {
                reading.acceptance_criteria.push(text);
            }
            Block::Paragraph { text, .. } if reading.summary.is_empty() => reading.summary = text,
            Block::Paragraph { .. } => {}
            Block::Item { text, .. } if section == Section::Criteria => {
                is_listed = true;
                reading.acceptance_criteria.push(text);
            }
            Block::Item { text, checked } => {
                let is_task = checked.is_some() || section == Section::Tasks;
                let tasks = if is_task { &mut reading.tasks } else { &mut others };
                tasks.push(Task { text, done: checked == Some(true) });
            }
        }
    }
    // A list of which nothing says what it is, in a ticket that has no other.
    if reading.tasks.is_empty() {
        reading.tasks = others;
    }
    reading
}

/// People write headings as they come: in bold type, or with a colon.
fn is_heading(text: &str, is_bold: bool) -> bool {
    is_bold || text.ends_with(':') && text.chars().count() <= LONGEST_HEADING
}

/// The parts of a description, in order; items of a list inside an item are items of their own.
fn blocks(markdown: &str) -> Vec<Block> {
    let mut reader = Reader::default();
    Parser::new_ext(markdown, Options::ENABLE_TASKLISTS).for_each(|event| reader.take(event));
    reader.found
}

/// Puts the parts together. What is written in an item before another begins in it is put down then, so that an
/// item comes before those inside it.
#[derive(Default)]
struct Reader {
    found: Vec<Block>,
    text: String,
    checked: Option<bool>,
    items: usize,
    strong: usize,
    has_plain: bool,
    in_code: bool,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => self.in_code = true,
            Event::End(TagEnd::CodeBlock) => self.in_code = false,
            Event::Start(Tag::Strong) => self.strong += 1,
            Event::End(TagEnd::Strong) => self.strong = self.strong.saturating_sub(1),
            Event::Start(Tag::Item) => {
                self.end_item();
                self.items += 1;
            }
            Event::End(TagEnd::Item) => {
                self.end_item();
                self.items = self.items.saturating_sub(1);
            }
            Event::TaskListMarker(checked) => self.checked = Some(checked),
            Event::End(TagEnd::Heading(_)) => {
                let text = self.said();
                self.put(Block::Heading(text));
            }
            Event::End(TagEnd::Paragraph) if self.items == 0 => self.end_paragraph(),
            Event::Text(text) | Event::Code(text) if !self.in_code => {
                self.has_plain |= self.strong == 0 && !text.trim().is_empty();
                self.text.push_str(&text);
            }
            Event::SoftBreak | Event::HardBreak | Event::End(TagEnd::Paragraph) => self.text.push(' '),
            _ => {}
        }
    }

    fn end_item(&mut self) {
        let (text, checked) = (self.said(), self.checked.take());
        if self.items > 0 {
            self.put(Block::Item { text, checked });
        }
    }

    fn end_paragraph(&mut self) {
        let is_bold = !self.has_plain;
        let text = self.said();
        self.put(Block::Paragraph { text, is_bold });
    }

    fn said(&mut self) -> String {
        self.has_plain = false;
        std::mem::take(&mut self.text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn put(&mut self, block: Block) {
        let (Block::Heading(text) | Block::Paragraph { text, .. } | Block::Item { text, .. }) = &block;
        if !text.is_empty() {
            self.found.push(block);
        }
    }
}

#[cfg(test)]
#[path = "issue_text_tests.rs"]
mod tests;
