//! Tickets as people write them.

use proptest::prelude::*;

use super::super::named_in_text as named;
use super::*;

fn check(markdown: &str, summary: &str, tasks: &[(&str, bool)], criteria: &[&str]) {
    let reading = read(markdown);
    let found: Vec<(&str, bool)> = reading.tasks.iter().map(|task| (task.text.as_str(), task.done)).collect();
    assert_eq!(reading.summary, summary, "{markdown}");
    assert_eq!(found, tasks, "{markdown}");
    assert_eq!(reading.acceptance_criteria, criteria, "{markdown}");
}

#[test]
fn check_boxes_and_lists_are_tasks() {
    check("", "", &[], &[]);
    check("Just do it.", "Just do it.", &[], &[]);
    check("Do:\n\n- [ ] one\n- [x] two\n", "", &[("one", false), ("two", true)], &[]);
    check("Why\nthis.\n\nMore.\n\n* one\n* **two** `x`\n", "Why this.", &[("one", false), ("two x", false)], &[]);
    check("1. first\n2. second\n   still second\n", "", &[("first", false), ("second still second", false)], &[]);
    check("## Tasks\n- one\n  - [x] inside\n- two\n", "", &[("one", false), ("inside", true), ("two", false)], &[]);
    check("- loose\n\n- list\n\n  more of it\n", "", &[("loose", false), ("list more of it", false)], &[]);
}

#[test]
fn what_stands_under_acceptance_says_when_it_is_done() {
    let with_headings = "Why.\n\n## Tasks\n\n- [ ] one\n\n## Acceptance criteria\n\n- it works\n- [x] it is fast\n\n\
                         ## Notes\n\n- not a task\n";
    check(with_headings, "Why.", &[("one", false)], &["it works", "it is fast"]);
    check("**Acceptance Criteria**\n\nIt works.\n", "", &[], &["It works."]);
    check("Definition of done:\n\n* shipped\n\nTo do:\n\n* ship\n", "", &[("ship", false)], &["shipped"]);
    check("Why.\n\n## Acceptance\n- works\n\nSee elsewhere.", "Why.", &[], &["works"]);
    check("# Done when\ngreen\n# Background\n\nLong ago.", "Long ago.", &[], &["green"]);
}

#[test]
fn a_list_under_another_heading_is_of_tasks_when_there_is_no_other() {
    check("## Ideas\n- one\n- two\n", "", &[("one", false), ("two", false)], &[]);
    check("## Notes\n- note\n\n## Steps\n- step\n", "", &[("step", false)], &[]);
    check("## Notes\n- note\n- [ ] box\n", "", &[("box", false)], &[]);
}

#[test]
fn code_and_quotes_are_no_tasks() {
    check("```\n- [ ] no task\n```\n\nText.", "Text.", &[], &[]);
    check("Fix `a - b` and <b>it</b>.", "Fix a - b and it.", &[], &[]);
    check("**Bold** and plain.", "Bold and plain.", &[], &[]);
    check(
        "This sentence ends with a colon although it is much longer than a heading is:",
        "This sentence ends with a colon although it is much longer than a heading is:",
        &[],
        &[],
    );
}

proptest! {
    #[test]
    fn whatever_is_written_is_read(text in "([-*#\\[\\]x>` \n]|github.com/|repo:|[a-z0-9.]{1,3}|/pull/|h|é|1.5)*") {
        let reading = read(&text);
        prop_assert!(reading.tasks.iter().all(|task| !task.text.is_empty()));
        prop_assert!(reading.acceptance_criteria.iter().all(|criterion| !criterion.is_empty()));
        prop_assert!(named::hours(&text).is_none_or(|hours| hours >= 0.0));
        for address in named::pull_requests(&text) {
            let repository = named::linked_repository(&address);
            prop_assert!(repository.is_some_and(|repository| address.contains(&repository)), "{address}");
        }
        let line = named::on_its_line(&text, &["repo"]);
        prop_assert!(line.is_none_or(|line| !line.trim().is_empty()));
    }
}
