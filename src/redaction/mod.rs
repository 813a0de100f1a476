//! Takes secrets out of payloads, if the configuration says which, before anybody stores them or works with them.
//!
//! What cannot be told by its shape, what is cut into several strings, and what is encoded (other than by JSON itself) is not
//! found. Pure: a text in, a text out.

pub mod pointer;
pub mod shapes;
pub mod strings;
#[cfg(test)]
mod tests;

use std::fmt;

use regex::{Regex, RegexBuilder};

use self::pointer::Pointer;
use self::shapes::{KNOWN, SHAPES, Shape};
use self::strings::Which;

/// Most bytes that an expression may take when it is compiled: one of a user's own is no more than a few characters.
const LARGEST_EXPRESSION: usize = 1 << 20;

/// What begins an expression of one's own.
const EXPRESSION: &str = "re:";

/// What begins a pointer to a value.
const POINTER: &str = "json:";

/// What stands in the place of what matched an expression of one's own, or was pointed to.
const GONE: &str = "[redacted]";

/// What is taken out.
#[derive(Clone, Default)]
pub struct Redaction {
    /// The shapes, and one expression for all of them, with a group for each.
    shapes: Option<(Vec<Shape>, Regex)>,
    own: Vec<Regex>,
    pointers: Vec<Pointer>,
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes = self.shapes.iter().flat_map(|(shapes, _)| shapes.iter().map(|shape| shape.name));
        f.debug_list().entries(shapes).entries(&self.own).entries(&self.pointers).finish()
    }
}

impl Redaction {
    /// Reads what the configuration says: names of shapes, `known`, `re:` and an expression, `json:` and a pointer. The errors
    /// name what is wrong and what there is.
    pub fn read(entries: &[String]) -> Result<Self, Vec<String>> {
        let (mut redaction, mut chosen, mut wrong) = (Self::default(), Vec::new(), Vec::new());
        for entry in entries {
            if let Some(expression) = entry.strip_prefix(EXPRESSION) {
                match expression_of(expression) {
                    Ok(expression) => redaction.own.push(expression),
                    Err(reason) => wrong.push(format!("`{entry}`: {reason}")),
                }
            } else if let Some(pointer) = entry.strip_prefix(POINTER) {
                match Pointer::read(pointer) {
                    Some(pointer) => redaction.pointers.push(pointer),
                    None => wrong
                        .push(format!("`{entry}`: not a JSON pointer; give one such as json:/client_payload/token")),
                }
            } else {
                let of_entry = |shape: &&Shape| shape.name == *entry || (entry == KNOWN && shape.is_known);
                let named: Vec<Shape> = SHAPES.iter().filter(of_entry).copied().collect();
                if named.is_empty() {
                    let names: Vec<&str> = SHAPES.iter().map(|shape| shape.name).collect();
                    wrong.push(format!(
                        "`{entry}` is no shape; there are {KNOWN}, {}, re:EXPRESSION, json:/POINTER",
                        names.join(", ")
                    ));
                }
                chosen.extend(named);
            }
        }
        // In the order of the table, each once.
        let shapes: Vec<Shape> =
            SHAPES.into_iter().filter(|shape| chosen.iter().any(|other| other.name == shape.name)).collect();
        match all_of(shapes) {
            Ok(shapes) => redaction.shapes = shapes,
            Err(error) => wrong.push(format!("the shapes cannot be looked for: {error}")),
        }
        if wrong.is_empty() { Ok(redaction) } else { Err(wrong) }
    }

    /// Whether nothing is taken out.
    pub fn is_none(&self) -> bool {
        self.shapes.is_none() && self.own.is_empty() && self.pointers.is_empty()
    }

    /// A text of JSON without them, and how many were taken out; nothing if there is none.
    pub fn json(&self, text: &str) -> Option<(String, u32)> {
        let mut count = 0;
        let pointed = self.pointed(text, &mut count);
        let text = pointed.as_deref().unwrap_or(text);
        // Where nothing looks like a shape as it stands there, only what is escaped may mean one.
        let is_found = |(_, expression): &(Vec<Shape>, Regex)| expression.is_match(text);
        let all = !self.own.is_empty() || self.shapes.as_ref().is_some_and(is_found);
        let which = if all { Which::All } else { Which::Escaped };
        let rewritten = strings::rewrite(text, which, |said| {
            self.text(said).map(|(made, more)| {
                count += more;
                made
            })
        });
        rewritten.or(pointed).map(|made| (made, count))
    }

    /// A plain text without them, and how many were taken out; nothing if there is none.
    pub fn text(&self, text: &str) -> Option<(String, u32)> {
        let mut made: Option<(String, u32)> = None;
        if let Some((shapes, expression)) = &self.shapes {
            made = replaced(expression, text, |found| {
                let name =
                    (1..).zip(shapes).find(|(group, _)| found.get(*group).is_some()).map(|(_, shape)| shape.name);
                name.map_or_else(|| GONE.to_owned(), |name| format!("[redacted {name}]"))
            });
        }
        for expression in &self.own {
            let (before, count) = made.as_ref().map_or((text, 0), |(made, count)| (made.as_str(), *count));
            if let Some((after, more)) = replaced(expression, before, |_| GONE.to_owned()) {
                made = Some((after, count + more));
            }
        }
        made
    }

    /// A text without what the pointers lead to.
    fn pointed(&self, text: &str, count: &mut u32) -> Option<String> {
        let mut made: Option<String> = None;
        for pointer in &self.pointers {
            let before = made.as_deref().unwrap_or(text);
            let gone = format!("\"{GONE}\"");
            let places: Vec<_> =
                pointer.find(before).into_iter().filter(|place| before.get(place.clone()) != Some(&gone)).collect();
            if places.is_empty() {
                continue;
            }
            let mut after = before.to_owned();
            for place in places.into_iter().rev() {
                after.replace_range(place, &gone);
                *count += 1;
            }
            made = Some(after);
        }
        made
    }
}

/// A text in which every match is replaced by what `instead` says.
fn replaced(expression: &Regex, text: &str, instead: impl Fn(&regex::Captures<'_>) -> String) -> Option<(String, u32)> {
    if !expression.is_match(text) {
        return None;
    }
    let mut count = 0;
    let made = expression.replace_all(text, |found: &regex::Captures<'_>| {
        count += 1;
        instead(found)
    });
    Some((made.into_owned(), count))
}

/// One expression for all of them.
fn all_of(shapes: Vec<Shape>) -> Result<Option<(Vec<Shape>, Regex)>, regex::Error> {
    // A letter of another script before it makes it no other word, and looking for one is slow.
    let group = |shape: &Shape| format!("({})", shape.pattern.replace(r"\b", r"(?-u:\b)"));
    let groups: Vec<String> = shapes.iter().map(group).collect();
    if shapes.is_empty() {
        return Ok(None);
    }
    Regex::new(&groups.join("|")).map(|expression| Some((shapes, expression)))
}

fn expression_of(text: &str) -> Result<Regex, String> {
    let expression = RegexBuilder::new(text).size_limit(LARGEST_EXPRESSION).build();
    let expression = expression.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the expression is too large; bound its repetitions".to_owned(),
        error => format!("not an expression: {}", error.to_string().lines().last().unwrap_or_default()),
    })?;
    if expression.is_match("") {
        return Err("it matches where nothing stands, and so everywhere".to_owned());
    }
    Ok(expression)
}
