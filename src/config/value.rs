//! The kinds of values, and how each is written in TOML and in the environment.

use std::time::Duration;

use pointsman_actors::time;

use super::written_secret::WrittenSecret;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text that is never shown.
    Secret,
    /// Several of those, each with a name and a time in which it counts, if need be. Read by [`WrittenSecret`].
    Secrets,
    /// A whole number.
    Count,
    /// A number such as 0.8.
    Ratio,
    /// True or false.
    Flag,
    /// A span of time. In TOML with its unit (`"5s"`); in the environment as the unit says.
    Span(Unit),
    /// Bytes: a number, or with a unit (`"25MiB"`).
    Size,
    /// Several texts; in the environment separated by commas.
    List,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// The unit of a span of time in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number of milliseconds.
    Millis,
    /// A plain number of seconds.
    Seconds,
    /// A plain number of days.
    Days,
    /// With its unit, as in TOML.
    Written,
}

/// A value of one of the kinds.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Text, secret or choice.
    Text(String),
    /// Whole number or bytes.
    Count(u64),
    /// Number.
    Ratio(f64),
    /// True or false.
    Flag(bool),
    /// Span of time.
    Span(Duration),
    /// Texts.
    List(Vec<String>),
    /// Secrets.
    Secrets(Vec<WrittenSecret>),
}

impl Kind {
    /// Whether its value is never shown.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Secrets)
    }

    /// Reads a TOML value. The error says what is expected, and never holds the value.
    pub fn from_toml(self, value: &toml::Value) -> Result<Value, String> {
        match (self, value) {
            (Self::Text | Self::Secret, toml::Value::String(text)) => Ok(Value::Text(text.clone())),
            (Self::Choice(_) | Self::Size, toml::Value::String(text)) => self.from_text(text),
            (Self::Span(_), toml::Value::String(text)) => parse_span(text).map(Value::Span),
            (Self::Count | Self::Size, toml::Value::Integer(number)) => {
                u64::try_from(*number).map(Value::Count).map_err(|_| "must not be negative".to_owned())
            }
            #[allow(clippy::cast_precision_loss, reason = "ratios are small")]
            (Self::Ratio, toml::Value::Integer(number)) => Ok(Value::Ratio(*number as f64)),
            (Self::Ratio, toml::Value::Float(number)) => Ok(Value::Ratio(*number)),
            (Self::Flag, toml::Value::Boolean(flag)) => Ok(Value::Flag(*flag)),
            (Self::List, toml::Value::Array(items)) => items
                .iter()
                .map(|item| {
                    item.as_str()
                        .map(str::to_owned)
                        .ok_or_else(|| "give a list of texts, such as [\"a\", \"b\"]".to_owned())
                })
                .collect::<Result<_, _>>()
                .map(Value::List),
            _ => Err(self.expected().to_owned()),
        }
    }

    /// Reads a variable or a flag. The error says what is expected, and never holds the value.
    pub fn from_text(self, text: &str) -> Result<Value, String> {
        let expected = || self.expected().to_owned();
        match self {
            Self::Text | Self::Secret => Ok(Value::Text(text.to_owned())),
            Self::Count => text.parse().map(Value::Count).map_err(|_| expected()),
            Self::Ratio => text.parse().map(Value::Ratio).map_err(|_| expected()),
            Self::Flag => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(Value::Flag(true)),
                "false" | "0" | "no" | "off" => Ok(Value::Flag(false)),
                _ => Err(expected()),
            },
            Self::Span(unit) => unit.parse(text).map(Value::Span),
            Self::Size => parse_size(text).map(Value::Count).ok_or_else(expected),
            Self::List => Ok(Value::List(
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect(),
            )),
            Self::Secrets => Err(expected()),
            Self::Choice(choices) if choices.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(choices) => Err(format!("must be one of {}", choices.join(", "))),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::Secret | Self::Choice(_) => "give a text in quotes",
            Self::Secrets | Self::List => "give a list of texts, such as [\"a\", \"b\"]",
            Self::Count => "not a whole number; give a count such as 10000",
            Self::Ratio => "not a number; give one such as 0.8",
            Self::Flag => "give true or false",
            Self::Span(_) => "give a span of time with its unit, such as \"500ms\", \"5s\", \"10m\", \"2h\" or \"3d\"",
            Self::Size => "give a size such as \"25MiB\", or a number of bytes",
        }
    }
}

impl Unit {
    fn parse(self, text: &str) -> Result<Duration, String> {
        let factor = match self {
            Self::Written => return parse_span(text),
            Self::Millis => 1,
            Self::Seconds => 1_000,
            Self::Days => 86_400_000,
        };
        let name = match self {
            Self::Millis => "milliseconds",
            Self::Seconds => "seconds",
            _ => "days",
        };
        let number: u64 = text.parse().map_err(|_| format!("not a whole number; this variable is in {name}"))?;
        number.checked_mul(factor).map(Duration::from_millis).ok_or_else(|| format!("too many {name}"))
    }
}

/// Reads `"500ms"`, `"5s"`, `"1m30s"`, `"2h"`, `"3d"`.
fn parse_span(text: &str) -> Result<Duration, String> {
    time::parse_span(text).ok_or_else(|| Kind::Span(Unit::Written).expected().to_owned())
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_with_their_unit() {
        let check =
            |text, millis: Option<u64>| assert_eq!(parse_span(text).ok(), millis.map(Duration::from_millis), "{text}");
        check("500ms", Some(500));
        check("5s", Some(5_000));
        check("1m30s", Some(90_000));
        check("3d", Some(259_200_000));
        for wrong in ["", "5", "s", "5 s", "5x", "-5s", "99999999999999999999d"] {
            check(wrong, None);
        }
    }

    #[test]
    fn variables_are_in_the_unit_of_their_name() {
        let check = |kind: Kind, text, expect: Value| assert!(kind.from_text(text).unwrap() == expect, "{text}");
        check(Kind::Span(Unit::Millis), "5000", Value::Span(Duration::from_secs(5)));
        check(Kind::Span(Unit::Days), "30", Value::Span(Duration::from_secs(30 * 86_400)));
        check(Kind::Size, "25MiB", Value::Count(25 << 20));
        check(Kind::List, "a, b,,c", Value::List(vec!["a".into(), "b".into(), "c".into()]));
        check(Kind::Flag, "TRUE", Value::Flag(true));
        assert_eq!(Kind::Count.from_text("abc").err().unwrap(), "not a whole number; give a count such as 10000");
        assert_eq!(Kind::Choice(&["a", "b"]).from_text("c").err().unwrap(), "must be one of a, b");
        assert!(Kind::Span(Unit::Seconds).from_text("5s").err().unwrap().ends_with("in seconds"));
    }
}
