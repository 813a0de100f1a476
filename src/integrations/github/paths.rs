//! What stands in the paths of GitHub's API, and how its lists go on. Pure.
//!
//! Rules: docs.github.com/rest, "Using pagination" and "Troubleshooting": path parameters are encoded, a slash in
//! one as `%2F`.

use std::fmt::Write;

use pointsman_actors::executor::failure::{ErrorClass, Failure};

/// `owner/name`, fit for a path.
pub(super) fn repository_path(repository: &str) -> Result<String, Failure> {
    let part = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && part != "." && part != ".." && part.chars().all(fits)
    };
    match repository.split_once('/') {
        Some((owner, name)) if part(owner) && part(name) => Ok(repository.to_owned()),
        _ => {
            Err(Failure::new(ErrorClass::Validation, format!("`{repository}` is not a repository, such as owner/name")))
        }
    }
}

/// One part of a path, or a value of a query.
pub(super) fn part(text: &str) -> Result<String, Failure> {
    // Whoever reads the URL takes them for directories, encoded or not.
    if text.is_empty() || text == "." || text == ".." {
        return Err(Failure::new(ErrorClass::Validation, format!("`{text}` names nothing at GitHub")));
    }
    Ok(text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // A text takes whatever is written to it.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    }))
}

/// Where an App must be installed for a path: `repos/owner/name` or `orgs/login`.
pub(super) fn place_of(path: &str) -> Option<String> {
    let mut parts = path.strip_prefix('/')?.split(['/', '?']);
    match parts.next()? {
        "repos" => Some(format!("repos/{}/{}", parts.next()?, parts.next()?)),
        "orgs" => Some(format!("orgs/{}", parts.next()?)),
        _ => None,
    }
}

/// Whether only an App itself may ask for a path.
pub(super) fn is_of_app(path: &str) -> bool {
    path.starts_with("/app/")
}

/// The path of the next page, from the `Link` header of this one. Only its query is taken: where a list is stays
/// what we asked for, whatever name the server gives itself.
pub(super) fn next_page(path: &str, link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.split(';').skip(1).any(|word| word.trim() == "rel=\"next\""))?;
    let url = next.split(';').next()?.trim().strip_prefix('<')?.strip_suffix('>')?;
    let (_, query) = url.split_once('?')?;
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    Some(format!("{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_cannot_lead_elsewhere() {
        for good in ["acme/shop", "a-b/c.d_e"] {
            assert_eq!(repository_path(good).unwrap(), good);
        }
        for bad in ["acme", "acme/", "/shop", "a/b/c", "../shop", "acme/..", "acme/sh op", "acme/%2e"] {
            assert_eq!(repository_path(bad).unwrap_err().class, ErrorClass::Validation, "{bad}");
        }
    }

    #[test]
    fn parts_are_encoded() {
        for (text, expect) in [("heads/codegen/a b", "heads%2Fcodegen%2Fa%20b"), ("ü", "%C3%BC"), ("a1-_.~", "a1-_.~")]
        {
            assert_eq!(part(text).unwrap(), expect);
        }
        for bad in ["", ".", ".."] {
            assert_eq!(part(bad).unwrap_err().class, ErrorClass::Validation, "{bad}");
        }
    }

    #[test]
    fn a_path_tells_where_an_app_must_be_installed() {
        for (path, expect) in [
            ("/repos/acme/shop/pulls/1", Some("repos/acme/shop")),
            ("/repos/acme/shop?x=1", Some("repos/acme/shop")),
            ("/orgs/acme/hooks/1/deliveries", Some("orgs/acme")),
            ("/app/installations/1", None),
            ("/rate_limit", None),
        ] {
            assert_eq!(place_of(path).as_deref(), expect);
        }
        assert!(is_of_app("/app/hook/deliveries") && !is_of_app("/repos/app/hook/deliveries"));
    }

    #[test]
    fn lists_go_on_where_they_were_asked_for() {
        let link = r#"<https://elsewhere.example/repositories/1/pulls?page=3&per_page=100>; rel="next", <https://elsewhere.example/x?page=9>; rel="last""#;
        assert_eq!(next_page("/repos/o/r/pulls?page=2", link).unwrap(), "/repos/o/r/pulls?page=3&per_page=100");
        assert_eq!(next_page("/x", r#"<https://h/x?page=1>; rel="prev", <https://h/x?page=1>; rel="first""#), None);
        assert_eq!(next_page("/x", ""), None);
    }
}
