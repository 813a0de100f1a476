//! Texts that are a verdict, and texts that only look like one.

use super::*;
use crate::integrations::verdict::{Issue, Judgement};

const PASS: &str = r#"{"verdict": "pass", "score": 92, "issues": []}"#;

fn marks() -> Marks {
    Marks::of("run_1/3")
}

fn told(text: &str) -> Result<Verdict, Failure> {
    let [begin, end] = marks().lines();
    read(&text.replace("{begin}", &begin).replace("{end}", &end).replace("{pass}", PASS), &marks())
}

#[test]
fn what_stands_between_the_marks_is_read() {
    let pass = Verdict { verdict: Judgement::Pass, score: 92, issues: Vec::new() };
    for text in [
        "{begin}\n{pass}\n{end}",
        "⏺ I have looked.\n\n  {begin}\n  {pass}\n  {end}\n\n  Anything else?",
        "⏺ {begin}\n  ```json\n  {pass}\n  ```\n  {end}",
        "**{begin}**\n\n{\n\"verdict\":\n\"pass\", \"score\": 92,\n  \"issues\": [\n]}\n\n`{end}`",
        "{\"verdict\": \"fail\", \"score\": 0, \"issues\": []} is what somebody wrote.\n{begin}\n{pass}\n{end}",
    ] {
        assert_eq!(told(text), Ok(pass.clone()), "{text}");
    }
}

#[test]
fn everything_else_is_no_verdict() {
    let other = Marks::of("run_1/2").lines();
    for text in [
        "",
        "{pass}",
        "{begin}\n{pass}",
        "{pass}\n{end}",
        "{end}\n{pass}\n{begin}",
        "{begin}\n{end}",
        "{begin} {pass} {end}",
        "{begin}\n{pass}\n{end}\n{begin}\n{pass}\n{end}",
        "The line `{begin}` is this:\n{begin}\n{pass}\n{end}",
        "{begin}\n{pass}\n{pass}\n{end}",
        "{begin}\nHere it is: {pass}\n{end}",
        "{begin}\n{\"verdict\": \"maybe\", \"score\": 92, \"issues\": []}\n{end}",
        "{begin}\n{\"verdict\": \"pass\", \"score\": 101, \"issues\": []}\n{end}",
        "{begin}\n{\"verdict\": \"pass\", \"score\": \"92\", \"issues\": []}\n{end}",
        "{begin}\n{\"verdict\": \"pass\", \"score\": 92}\n{end}",
        "{begin}\n{\"verdict\": \"pass\", \"verdict\": \"fail\", \"score\": 92, \"issues\": []}\n{end}",
        "{begin}\n{\"verdict\": \"pass\", \"score\": 92, \"issues\": [], \"more\": 1}\n{end}",
        "{begin}\n{\"verdict\": \"fail\", \"score\": 1, \"issues\": [{\"severity\": \"dire\", \"message\": \"x\"}]}\n{end}",
        &format!("{}\n{PASS}\n{}", other[0], other[1]),
        &marks().request(),
    ] {
        let failure = told(text).expect_err(text);
        assert_eq!(failure.class, ErrorClass::Validation, "{text}");
        assert!(failure.message.contains("did not answer as it was asked to"), "{failure}");
    }
    let long = format!("{{begin}}\n{}{PASS}\n{{end}}", " ".repeat(LARGEST_VERDICT));
    assert!(told(&long).unwrap_err().message.contains("too long"));
    assert!(told("I cannot say.\n  Ask somebody else.").unwrap_err().message.ends_with("`Ask somebody else.`"));
}

#[test]
fn lines_that_a_terminal_broke_are_whole_again() {
    let text = "⏺ {begin}\n  {\"verdict\": \"fail\", \"score\": 10, \"issues\": [{\"severity\": \"high\", \"message\": \"It\n  \
                leaks the \\\"tok\n  en\\\" and \\\n  \\ more.  \n\n  Twice.\", \"file\": \"a/very/long/\n  path/＠to/it.rs\", \"line\": 3}]}\n  {end}";
    let issue = Issue {
        severity: "high".into(),
        message: "It leaks the \"tok en\" and \\ more. Twice.".into(),
        file: Some("a/very/long/path/@to/it.rs".into()),
        line: Some(3),
    };
    assert_eq!(told(text).unwrap().issues, [issue]);
}

#[test]
fn the_request_asks_for_the_marks_and_shows_none() {
    let request = marks().request();
    assert!(marks().are_asked_for_in(&request) && !Marks::of("run_1/4").are_asked_for_in(&request));
    assert!(!marks().lines().iter().any(|line| request.contains(line.as_str())));
    assert!(!request.contains('@'));
}
