//! Finds Linear tickets such as `ENG-45` in text and in branch names.

/// What looks like a ticket and is none: names of standards, encodings, algorithms and advisories.
const NOT_TEAMS: [&str; 34] = [
    "UTF", "SHA", "CVE", "CWE", "GHSA", "ISO", "RFC", "HTTP", "TLS", "SSL", "AES", "RSA", "MD", "ES", "ECMA", "IEEE",
    "IPV", "BASE", "UUID", "GPT", "CRC", "HMAC", "PEP", "PKCS", "ECDSA", "WINDOWS", "LATIN", "KOI", "ASCII", "UCS",
    "ARM", "PR", "COVID", "FIPS",
];

/// Words that branches put before a number, and that are no team's key either.
const NOT_TEAMS_IN_BRANCHES: [&str; 38] = [
    "PATCH", "RELEASE", "ISSUE", "FEATURE", "FEAT", "FIX", "BUG", "BUGFIX", "HOTFIX", "VERSION", "REV", "TEST", "STEP",
    "PHASE", "PART", "DAY", "CODEGEN", "NODE", "PYTHON", "JAVA", "GO", "RUST", "RUBY", "PHP", "REACT", "VUE",
    "ANGULAR", "DEBIAN", "UBUNTU", "ALPINE", "POSTGRES", "REDIS", "UPDATE", "BUMP", "TO", "TASK", "TRY", "GH",
];

/// Letters in a team's key at least and at most.
const TEAM: std::ops::RangeInclusive<usize> = 2..=10;
/// Digits in a ticket's number at most.
const MOST_DIGITS: usize = 6;

/// All tickets named in title, body and branch, in this order, each once and in upper case. In prose
/// only upper case counts; in a branch, which tools write in lower case, both do.
pub fn tickets(title: &str, body: &str, branch: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let in_branch = in_text(branch, true);
    for ticket in in_text(title, false).chain(in_text(body, false)).chain(in_branch) {
        if !found.contains(&ticket) {
            found.push(ticket);
        }
    }
    found
}

/// Words before a ticket by which people say that it is done with the change (linear.app/docs, "GitHub integration").
const CLOSING: [&str; 18] = [
    "close",
    "closes",
    "closed",
    "closing",
    "fix",
    "fixes",
    "fixed",
    "fixing",
    "resolve",
    "resolves",
    "resolved",
    "resolving",
    "complete",
    "completes",
    "completed",
    "completing",
    "implement",
    "implements",
];

/// The ticket that is done when a pull request is merged: one that its title or its branch names, or its body after a word
/// that says so. Others are only talked about.
pub fn closed(title: &str, body: &str, branch: &str) -> Option<String> {
    let named = in_text(title, false).chain(in_text(branch, true)).next();
    named.or_else(|| body.match_indices('-').find_map(|(dash, _)| closed_at(body, dash)))
}

/// Whether a pull request is for this ticket, such as `ENG-45`: its title or its branch names it, in letters of either case,
/// or its body does after a word that says so.
pub fn is_for(ticket: &str, title: &str, body: &str, branch: &str) -> bool {
    let closed = || body.match_indices('-').filter_map(|(dash, _)| closed_at(body, dash));
    names(title, ticket) || names(branch, ticket) || closed().any(|closed| closed.eq_ignore_ascii_case(ticket))
}

/// Whether the ticket stands in a text as a word.
fn names(text: &str, ticket: &str) -> bool {
    // Of ASCII letters alone, so that places in the text stay what they are.
    let (text, ticket) = (text.to_ascii_lowercase(), ticket.to_ascii_lowercase());
    let is_word = |at: usize| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + ticket.len()..).unwrap_or_default());
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    };
    !ticket.is_empty() && text.match_indices(&ticket).any(|(at, _)| is_word(at))
}

fn closed_at(body: &str, dash: usize) -> Option<String> {
    let ticket = ticket_at(body, dash, false)?;
    let before = body.get(..dash)?.trim_end_matches(|c: char| c.is_ascii_uppercase());
    // `Fixes: [ENG-45](https://…)`.
    let before = before.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '[' | '(' | '*'));
    let word = before.rsplit(|c: char| !c.is_alphabetic()).next()?;
    CLOSING.iter().any(|closing| word.eq_ignore_ascii_case(closing)).then_some(ticket)
}

fn in_text(text: &str, any_case: bool) -> impl Iterator<Item = String> + '_ {
    text.match_indices('-').filter_map(move |(dash, _)| ticket_at(text, dash, any_case))
}

/// The ticket whose dash is at `dash`, if there is one.
fn ticket_at(text: &str, dash: usize, any_case: bool) -> Option<String> {
    let (before, after) = (text.get(..dash)?, text.get(dash + 1..)?);
    let is_team = |c: char| if any_case { c.is_ascii_alphabetic() } else { c.is_ascii_uppercase() };
    let team_start =
        before.rfind(|c| !is_team(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let team = before.get(team_start..)?;
    let number_end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let number = after.get(..number_end)?;
    let ends_word = |c: char| !c.is_alphanumeric() && c != '_';
    let mut before_team = before.get(..team_start)?.chars().rev();
    let starts = match (before_team.next(), before_team.next()) {
        // In a branch words come before: `fix-eng-45`, but not the date of `2024-jan-05`.
        (Some('-'), word) => any_case && word.is_some_and(char::is_alphabetic),
        (Some(c), _) => ends_word(c),
        (None, _) => true,
    };
    let ends = match after.get(number_end..)?.chars().next() {
        None => true,
        // `CVE-2024-1234` and dates go on with a number; in a branch words follow: `eng-45-fix`.
        Some('-') => !after.get(number_end + 1..)?.starts_with(|c: char| c.is_ascii_digit()),
        Some('.') => !after.get(number_end + 1..)?.starts_with(|c: char| c.is_ascii_digit()),
        Some(c) => ends_word(c),
    };
    let sized = TEAM.contains(&team.len()) && (1..=MOST_DIGITS).contains(&number.len()) && !number.starts_with('0');
    let team = team.to_ascii_uppercase();
    let is_word = NOT_TEAMS.contains(&team.as_str()) || any_case && NOT_TEAMS_IN_BRANCHES.contains(&team.as_str());
    (sized && starts && ends && !is_word).then(|| format!("{team}-{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_closed_by_who_says_so() {
        let check = |title, body, branch, expect: Option<&str>| {
            assert_eq!(closed(title, body, branch).as_deref(), expect, "{title}|{body}|{branch}");
        };
        check("ENG-45: fix", "", "", Some("ENG-45"));
        check("Fix it", "", "codegen/zam-526-fix", Some("ZAM-526"));
        check("Fix it", "See ENG-7, it is like ENG-8.", "main", None);
        check("Fix it", "See ENG-7.\n\nFixes ENG-45", "", Some("ENG-45"));
        check("Fix it", "**Closes: [ENG-45](https://linear.app/acme/issue/ENG-45)**", "", Some("ENG-45"));
        check("Fix it", "prefixes ENG-45, unresolved ENG-46", "", None);
    }

    #[test]
    fn a_pull_request_is_for_the_ticket_that_it_names_and_for_no_other() {
        let check = |title, body, branch, expect| {
            assert_eq!(is_for("ENG-45", title, body, branch), expect, "{title}|{body}|{branch}");
        };
        for title in ["ENG-45: fix", "[eng-45] fix", "Fix Eng-45."] {
            check(title, "", "", true);
        }
        for branch in ["codegen/eng-45-fix", "ada/ENG-45", "eng-45_fix", "codegen-eng-45"] {
            check("", "", branch, true);
        }
        check("Fix it", "Closes: ENG-46\n\nFixes ENG-45", "main", true);
        check("Fix it", "See ENG-45, which is like it.", "main", false);
        for other in ["ENG-451: fix", "XENG-45", "ENG-4", "éng-45", "ENG-45é", ""] {
            check(other, "", other, false);
        }
        assert!(!is_for("", "ENG-45: fix", "", ""));
    }

    #[test]
    fn tickets_are_found_where_people_write_them() {
        let check = |title, body, branch, expect: &[&str]| {
            assert_eq!(tickets(title, body, branch), expect, "{title}|{body}|{branch}")
        };
        check("ENG-45: fix", "", "", &["ENG-45"]);
        check("[ENG-45] fix", "see ZAM-7 and ENG-45.", "", &["ENG-45", "ZAM-7"]);
        check("", "", "codegen/zam-526-fix-x", &["ZAM-526"]);
        check("", "", "zam-526", &["ZAM-526"]);
        check("", "", "feature/ENG-45", &["ENG-45"]);
        check("", "", "codegen-eng-45-fix", &["ENG-45"]);
        check("", "", "fix-eng-45", &["ENG-45"]);
        check("", "", "codegen-123", &[]);
        check("", "", "renovate/node-20", &[]);
        check("", "", "2024-jan-05", &[]);
        check("", "", "patch-1", &[]);
        check("", "", "release-2024", &[]);
        check("fix eng-45", "", "", &[]);
        check("UTF-8, SHA-256, SHA-1, CVE-2024-3094, ISO-8601, RFC-2104, HTTP-2, AES-128", "", "", &[]);
        check("bump CVE-2024", "", "fix-utf-8-and-sha-256", &[]);
        check("XENG-45x, ENG-45_b, A-1, ENG-0, ENG-1234567", "", "", &[]);
        check("é-ENG-45", "", "", &[]);
        check("éENG-45 «ENG-46»", "", "", &["ENG-46"]);
        check("", "https://linear.app/acme/issue/ENG-45/title", "", &["ENG-45"]);
        check("release ENG-1.2", "", "", &[]);
    }
}
