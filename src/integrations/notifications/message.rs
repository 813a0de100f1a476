//! What people are told, before any target's own form. Pure.

/// How serious a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// News.
    Info,
    /// Something went well.
    Success,
    /// Somebody should look.
    Warning,
    /// Something went wrong.
    Error,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Info, Self::Success, Self::Warning, Self::Error];

    /// The name that steps write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The level of this name.
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The colour of the bar beside the message, as 0xRRGGBB.
    pub fn color(self) -> u32 {
        match self {
            Self::Info => 0x3B_82_F6,
            Self::Success => 0x2E_B6_7D,
            Self::Warning => 0xEC_B2_2E,
            Self::Error => 0xE0_1E_5A,
        }
    }
}

/// Longest address of a link: browsers and providers take no longer ones.
pub const LONGEST_LINK: usize = 2_000;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub text: String,
    /// How serious it is; a plain text without it.
    pub level: Option<Level>,
    /// Where there is more.
    pub link: Option<String>,
    /// The run that says so.
    pub run: String,
    /// Its step.
    pub step: String,
    /// The same for every repetition.
    pub key: String,
}

/// At most `most` UTF-16 units of a text: providers count those, or characters, which are never more. What is cut off is
/// said by an ellipsis.
pub fn cut(text: &str, most: usize) -> String {
    if text.encode_utf16().count() <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let fits = |c: &char| {
        let fits = c.len_utf16() <= left;
        left = left.saturating_sub(c.len_utf16());
        fits
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn message(text: &str) -> Message {
        let (level, link) = (None, None);
        Message { text: text.into(), level, link, run: "run_1".into(), step: "say".into(), key: "run_1/say".into() }
    }

    #[test]
    fn levels_are_read_as_they_are_named() {
        assert!(Level::ALL.into_iter().all(|level| Level::read(level.name()) == Some(level)));
        assert_eq!(Level::read("fatal"), None);
    }

    #[test]
    fn what_is_too_long_is_cut_where_a_character_ends() {
        let check = |text: &str, most, expect: &str| assert_eq!(cut(text, most), expect, "{text} {most}");
        check("abc", 3, "abc");
        check("abcd", 3, "ab…");
        check("ab🎉", 4, "ab🎉");
        check("ab🎉c", 4, "ab…");
        check("🎉🎉", 3, "🎉…");
    }
}
