//! Every document that our Linear client can send, held against Linear's published schema.

use pointsman::integrations::linear::documents::ALL;
use pointsman_sandbox::linear::schema::problems;

#[test]
fn every_document_fits_linears_schema() {
    for document in ALL {
        assert_eq!(problems(document.text), Vec::<String>::new(), "{}", document.name);
        assert!(document.text.contains(&format!(" {}(", document.name)), "{} has its own name", document.name);
        assert_eq!(document.text.starts_with("mutation "), document.changes, "{}", document.name);
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/integrations/linear/documents");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), ALL.len(), "a document that nothing lists");
}

#[test]
fn one_that_does_not_fit_is_caught() {
    let check = |text: &str, expect: &str| {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem.contains(expect)), "{text}: {found:?}");
    };
    check("query Q($id: String!) { issue(id: $id) { id status } }", "status");
    check("query Q { issue { id } }", "id");
    check("query Q($id: Int!) { issue(id: $id) { id } }", "$id");
    check("query Q($id: String!) { issue(id: $id) }", "issue");
    check("query Q($id: String!, $other: String) { issue(id: $id) { id } }", "other");
    check("mutation M($input: IssueChange!) { issueUpdate(id: \"x\", input: $input) { success } }", "IssueChange");
    check("mutation M { issueUpdate(id: \"x\", input: { status: \"Done\" }) { success } }", "status");
    check("query Q($id: String!) { issue(id: $id) { labels { nodes { id } } } }", "Issue.labels does not say how much");
    check("query Q {", "");
}
