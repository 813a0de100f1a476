//! What a ticket names: a repository, a branch, pull requests, and how long it may take. Pure.

/// Where repositories are.
const HOST: &str = "github.com/";

/// What stands where an owner stands and is none.
const NO_OWNERS: [&str; 10] = [
    "orgs",
    "settings",
    "apps",
    "marketplace",
    "features",
    "sponsors",
    "topics",
    "login",
    "user-attachments",
    "search",
];

/// Longest names that GitHub allows.
const LONGEST_NAME: usize = 100;

/// `owner/name`, if that is what this begins with.
pub fn repository_in(text: &str) -> Option<String> {
    let text = text.trim_start();
    let part = |text: &str, fits: fn(char) -> bool| -> String { text.chars().take_while(|c| fits(*c)).collect() };
    let owner = part(text, |c| c.is_ascii_alphanumeric() || c == '-');
    let rest = text.get(owner.len()..)?.strip_prefix('/')?;
    let name = part(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let name = name.trim_end_matches('.').trim_end_matches(".git");
    let sized = |part: &str| (1..=LONGEST_NAME).contains(&part.len());
    let is_one = sized(&owner) && sized(name) && !name.starts_with('.') && !NO_OWNERS.contains(&owner.as_str());
    is_one.then(|| format!("{owner}/{name}"))
}

/// Nothing but `owner/name`.
pub fn whole_repository(text: &str) -> Option<String> {
    repository_in(text).filter(|found| found == text.trim())
}

/// The repository of the first address in a text that leads to one.
pub fn linked_repository(text: &str) -> Option<String> {
    after_host(text).find_map(repository_in)
}

/// The pull requests that a text links to, each once.
pub fn pull_requests(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in after_host(text) {
        let Some(repository) = repository_in(rest) else { continue };
        let number = rest.get(repository.len()..).and_then(|rest| rest.strip_prefix("/pull/")).unwrap_or_default();
        let number: String = number.chars().take_while(char::is_ascii_digit).collect();
        let address = format!("https://{HOST}{repository}/pull/{number}");
        if !number.is_empty() && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// What follows the host of each address.
fn after_host(text: &str) -> impl Iterator<Item = &str> {
    let is_host = |at: &usize| {
        let before = text.get(..*at).unwrap_or_default();
        let before = before.strip_suffix("www.").unwrap_or(before);
        !before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
    };
    text.match_indices(HOST).map(|(at, _)| at).filter(is_host).filter_map(|at| text.get(at + HOST.len()..))
}

/// What stands after one of these words and a colon on a line of its own, whatever marks it.
pub fn on_its_line(text: &str, words: &[&str]) -> Option<String> {
    text.lines().find_map(|line| {
        let plain = line.replace(['*', '`', '<', '>'], "");
        let (word, value) = plain.trim_start_matches(['-', '+', ' ', '\t', '#']).split_once(':')?;
        let is_named = words.iter().any(|known| word.trim().eq_ignore_ascii_case(known));
        Some(value.trim().to_owned()).filter(|value| is_named && !value.is_empty())
    })
}

/// The first number of hours in a text: `2h`, `1.5 hours`.
pub fn hours(text: &str) -> Option<f64> {
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let starts_word = !rest.get(..start)?.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | ','));
        let from = rest.get(start..)?;
        let digits = from.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(from.len());
        let (number, after) = from.split_at_checked(digits)?;
        if starts_word && is_hours(after) {
            return number.trim_end_matches('.').parse().ok();
        }
        rest = after;
    }
    None
}

fn is_hours(after: &str) -> bool {
    let unit: String = after.trim_start().chars().take_while(|c| c.is_alphanumeric()).collect();
    ["h", "hr", "hrs", "hour", "hours"].iter().any(|known| unit.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_found_where_people_link_to_them() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(linked_repository(text).as_deref(), expect, "{text}");
        };
        check("see https://github.com/acme/shop.", Some("acme/shop"));
        check("(github.com/acme/sh_op.js/issues/7)", Some("acme/sh_op.js"));
        check("clone https://www.github.com/acme/shop.git now", Some("acme/shop"));
        check("https://github.com/orgs/acme and https://github.com/acme/shop/pull/3", Some("acme/shop"));
        check("https://notgithub.com/acme/shop", None);
        check("https://github.com.evil.example/acme/shop", None);
        check("https://github.com/acme", None);
        check("acme/shop", None);
        assert_eq!(whole_repository(" acme/shop "), Some("acme/shop".to_owned()));
        assert_eq!(whole_repository("acme/shop and more"), None);
        assert_eq!(whole_repository("Web / Mobile"), None);
    }

    #[test]
    fn pull_requests_are_found_once_each() {
        let text = "[fix](https://github.com/acme/shop/pull/12) github.com/acme/shop/pull/12/files \
                    https://github.com/acme/shop/pull/x https://github.com/acme/api/pull/3#discussion";
        let expect = ["https://github.com/acme/shop/pull/12", "https://github.com/acme/api/pull/3"];
        assert_eq!(pull_requests(text), expect);
    }

    #[test]
    fn a_line_can_name_what_is_meant() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(on_its_line(text, &["repo", "repository"]).as_deref(), expect, "{text}");
        };
        check("Repo: acme/shop", Some("acme/shop"));
        check("text\n- **Repository:** `acme/shop`\n", Some("acme/shop"));
        check("the repo: x", None);
        check("repo:", None);
    }

    #[test]
    fn hours_are_read() {
        let check = |text: &str, expect: Option<f64>| assert_eq!(hours(text), expect, "{text}");
        check("about 3h", Some(3.0));
        check("1.5 hours, then 2h", Some(1.5));
        check("2 Hrs.", Some(2.0));
        check("10 horses, 4 hr", Some(4.0));
        check("sha 2fh, v2h, 24hx7", None);
        check("in 3 days", None);
        check("it takes 2. h", Some(2.0));
    }
}
