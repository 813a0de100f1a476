//! Pairs that can be used and pairs that cannot.

use rcgen::{CertificateParams, KeyPair};

use super::*;

struct Made {
    certificate: String,
    key: String,
}

/// A self-signed certificate that ends at 2040-01-02T00:00:00Z.
fn made() -> Made {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2040, 1, 2);
    Made { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn files_of(directory: &Path, certificate: &str, key: &str) -> Files {
    let files = Files { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    files
}

#[test]
fn a_pair_that_cannot_be_used_says_which_file_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (made(), made());
    let check = |certificate: &str, key: &str, expect: &str| {
        let error = Certificate::read(files_of(directory.path(), certificate, key)).unwrap_err().to_string();
        assert!(error.replace(directory.path().to_str().unwrap(), "").contains(expect), "{error}");
        assert!(!error.contains(one.key.lines().nth(1).unwrap()), "{error}");
    };
    check("", &one.key, "no certificate stands in `/cert.pem`");
    check(&one.key, &one.key, "no certificate stands in `/cert.pem`");
    check(&one.certificate, "", "no private key stands in `/key.pem`");
    check(&one.certificate, &one.certificate, "no private key stands in `/key.pem`");
    check(&one.certificate, &other.key, "the private key in `/key.pem` is not that of the certificate in `/cert.pem`");
    check(&one.certificate[..200], &one.key, "the certificate in `/cert.pem` is damaged");
    check(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &one.key,
        "the certificate in `/cert.pem` is damaged",
    );
    let nowhere = Files { certificate: directory.path().join("none.pem"), key: directory.path().join("key.pem") };
    let error = Certificate::read(nowhere).unwrap_err().to_string();
    assert!(error.contains("none.pem` cannot be read"), "{error}");
}

#[test]
fn a_renewed_pair_is_shown_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (made(), made());
    let files = files_of(directory.path(), &one.certificate, &one.key);
    let certificate = Certificate::read(files.clone()).unwrap();
    let first = certificate.fingerprint();
    let published = directory.path().join("shown");
    certificate.publish(published.clone()).unwrap();
    let shown = || std::fs::read_to_string(&published).unwrap();
    assert_eq!((certificate.renew().unwrap(), shown()), (Renewal::Same, first.clone()));
    std::fs::write(&files.certificate, &other.certificate).unwrap();
    assert!(certificate.renew().is_err(), "the key is still that of the one before");
    assert_eq!((certificate.fingerprint(), shown()), (first.clone(), first.clone()));
    std::fs::write(&files.key, &other.key).unwrap();
    assert_eq!(certificate.renew().unwrap(), Renewal::Renewed);
    assert_ne!(certificate.fingerprint(), first);
    assert_eq!(shown(), certificate.fingerprint());
}

#[test]
fn somebody_is_told_before_a_certificate_ends() {
    let directory = tempfile::tempdir().unwrap();
    let made = made();
    let certificate = Certificate::read(files_of(directory.path(), &made.certificate, &made.key)).unwrap();
    let at = |text: &str| certificate.warning(Timestamp::from_rfc3339(text).unwrap()).unwrap_or_default();
    assert_eq!(certificate.expires(), Timestamp::from_rfc3339("2040-01-02T00:00:00Z"));
    assert_eq!(at("2039-12-25T00:00:00Z"), "");
    assert!(at("2039-12-27T00:00:00Z").ends_with("ends at 2040-01-02T00:00:00.000Z; renew it"));
    assert!(at("2040-01-03T00:00:00Z").contains("has ended at"));
}
