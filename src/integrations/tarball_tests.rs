//! Archives as git packs them, and as nobody should.

use std::fs::{read_to_string, symlink_metadata};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::Header;
use tempfile::TempDir;

use super::*;

const BOUNDS: Bounds = Bounds { bytes: 1 << 20, entries: 100, depth: 5, path: 200 };

/// What a test packs: whatever it says, a library would refuse some of it.
#[derive(Default)]
struct Packed(Vec<u8>);

impl Packed {
    fn entry(mut self, kind: EntryType, path: &str, data: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(0o777);
        header.set_size(data.len() as u64);
        header.set_entry_type(kind);
        if kind == EntryType::Symlink || kind == EntryType::Link {
            header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
        }
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, data: &str) -> Self {
        self.entry(EntryType::Regular, path, data.as_bytes())
    }

    /// The path of what comes next stands in a header of its own.
    fn long(self, path: &str) -> Self {
        let record = |length: usize| format!("{length} path={path}\n");
        let length = (0..).find(|length| record(*length).len() == *length).unwrap();
        self.entry(EntryType::XHeader, "x", record(length).as_bytes())
    }

    fn compressed(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&self.0).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(self) -> (TempDir, Result<Unpacked, Unusable>) {
        unpacked(&self.compressed())
    }
}

fn unpacked(bytes: &[u8]) -> (TempDir, Result<Unpacked, Unusable>) {
    let directory = tempfile::tempdir().unwrap();
    let result = unpack(bytes, directory.path(), &BOUNDS);
    (directory, result)
}

/// All that is in a directory, by its path from there on.
fn all_in(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        found.push(name.clone());
        if entry.file_type().unwrap().is_dir() {
            found.extend(all_in(&entry.path()).into_iter().map(|path| format!("{name}/{path}")));
        }
    }
    found.sort();
    found
}

#[test]
fn files_are_where_they_are_in_the_repository_and_none_can_be_run() {
    let long = format!("{}/{}.rs", "d".repeat(60), "f".repeat(60));
    let packed = Packed::default()
        .entry(EntryType::XGlobalHeader, "pax_global_header", b"52 comment=0123456789012345678901234567890123456789\n")
        .entry(EntryType::Directory, "acme-shop-a1/", b"")
        .entry(EntryType::Directory, "acme-shop-a1/src/", b"")
        .file("acme-shop-a1/src/lib.rs", "fn new() {}\n")
        .long(&format!("acme-shop-a1/{long}"))
        .file("acme-shop-a1/cut", "long\n");
    let (directory, unpacked) = packed.unpack();
    assert_eq!(unpacked.unwrap(), Unpacked { files: 2, left_out: 0 });
    assert_eq!(all_in(directory.path()), [&"d".repeat(60), &long, "src", "src/lib.rs"]);
    assert_eq!(read_to_string(directory.path().join("src/lib.rs")).unwrap(), "fn new() {}\n");
    let mode = |path: &str| symlink_metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("src"), mode("src/lib.rs")), (0o700, 0o600));
}

#[test]
fn links_and_settings_are_left_out_and_counted() {
    let settings = [
        ".git/config",
        ".claude/settings.json",
        "deep/.claude/settings.local.json",
        ".claude.json",
        ".claude-plugin/plugin.json",
        ".mcp.json",
        "CLAUDE.md",
        "deep/Claude.MD",
        "CLAUDE.local.md",
        "AGENTS.md",
    ];
    let odd = ["a\nb", "\u{1b}[2J", "1/2/3/4/5/6"];
    let packed = Packed::default().file("top/README.md", "hello").entry(EntryType::Symlink, "top/link", b"");
    let packed = settings.iter().chain(&odd).fold(packed, |packed, path| packed.file(&format!("top/{path}"), "x"));
    // Of what is left out nothing else depends: this goes through a link that is not there.
    let (directory, unpacked) = packed.file("top/link/file", "x").unpack();
    assert_eq!(unpacked.unwrap(), Unpacked { files: 2, left_out: 14 });
    assert_eq!(all_in(directory.path()), ["README.md", "link", "link/file"]);
}

#[test]
fn what_git_never_packs_spoils_the_whole() {
    let check = |packed: Packed| {
        let (directory, unpacked) = packed.unpack();
        assert!(matches!(unpacked, Err(Unusable::Wrong(_))), "{unpacked:?}");
        let outside = directory.path().parent().unwrap();
        assert!(!outside.join("evil-of-the-test").exists());
    };
    for path in [
        "top/../../evil-of-the-test",
        "../evil-of-the-test",
        "/tmp/evil-of-the-test",
        "top//evil-of-the-test",
        "top/./evil-of-the-test",
        "",
    ] {
        check(Packed::default().file(path, "x"));
        if !path.is_empty() {
            check(Packed::default().long(path).file("top/fine", "x"));
        }
    }
    for kind in [EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::GNULongName] {
        check(Packed::default().entry(kind, "top/x", b""));
    }
    check(Packed::default().file("top/a", "x").file("top/a", "y"));
    check(Packed::default().file("top/a", "x").file("top/a/b", "y"));
    check(Packed::default().file("top/a/b", "x").file("top/a", "y"));
}

#[test]
fn what_is_too_large_is_said_to_be() {
    let check = |packed: Packed| {
        let (_directory, unpacked) = packed.unpack();
        assert!(matches!(unpacked, Err(Unusable::TooLarge)), "{unpacked:?}");
    };
    check(Packed::default().entry(EntryType::Regular, "top/zeros", &vec![0; 2 << 20]));
    check((0..200).fold(Packed::default(), |packed, number| packed.file(&format!("top/{number}"), "")));
    check(Packed::default().long(&"x/".repeat(40_000)).file("top/x", ""));
    let sized = Packed::default().entry(EntryType::XHeader, "x", b"13 size=9999\n").file("top/x", "");
    check(sized);
}

#[test]
fn what_has_not_come_whole_is_not_used() {
    let whole = Packed::default().file("top/a", &"text ".repeat(900)).file("top/b", "end").compressed();
    assert_eq!(unpacked(&whole).1.unwrap().files, 2);
    for length in 0..whole.len() {
        let unpacked = unpacked(&whole[..length]).1;
        assert!(matches!(unpacked, Err(Unusable::Wrong(_))), "{length}: {unpacked:?}");
    }
}

proptest! {
    #[test]
    fn no_path_leads_out(path in prop::collection::vec(prop::sample::select(&b"./a\0\\~C\n\xff"[..]), 0..20)) {
        if let Ok(Place::At(place)) = place(&path, &BOUNDS) {
            prop_assert!(place.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            prop_assert!(place.components().count() > 0);
        }
    }

    #[test]
    fn no_bytes_do_anything_but_fail_or_unpack(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).unwrap();
        let _ = unpacked(&encoder.finish().unwrap());
        let _ = unpacked(&bytes);
    }
}
