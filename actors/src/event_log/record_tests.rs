//! Records come back as they were written, older ones too, and damage is always found.

use proptest::prelude::*;

use super::*;
use crate::event::fate::Incident;
use crate::event::{Facts, Happened, SourceName};
use crate::ids::EventId;
use crate::time::Timestamp;

fn meta() -> EventMeta {
    EventMeta {
        redacted: 0,
        id: EventId::first_at(Timestamp::from_millis(1_700_000_000_000)),
        source: SourceName::new("github"),
        received_at: Timestamp::from_millis(1_700_000_000_000),
        delivery_id: "guid-1".into(),
        peer: Some([127, 0, 0, 1].into()),
        headers: vec![("x-github-event".into(), "ping".into())],
        facts: Facts { event_type: "ping".into(), ..Facts::default() },
        payload_bytes: 13,
    }
}

fn unrouted() -> Verdict {
    Verdict::Unrouted { reason: "no route".into() }
}

fn sealed(payload: &[u8]) -> Record {
    Sealer::new().seal(&meta(), &unrouted(), payload).unwrap()
}

#[test]
fn a_verdict_can_be_replaced_without_touching_the_rest() {
    let pending = Verdict::Pending { reason: "later".into(), waits: Vec::new() };
    let event = sealed(b"{\"zen\":\"hm\"}").with_verdict(&pending).unwrap().open().unwrap();
    let payload = Some(Bytes::from_static(b"{\"zen\":\"hm\"}"));
    assert_eq!(event, Event { meta: meta(), verdict: pending, history: Vec::new(), payload });
}

#[test]
fn a_record_of_format_1_is_read() {
    let written_by_format_1 = hex_bytes(include_str!("record_format_1.hex"));
    let event = Record::from_bytes(written_by_format_1).open().unwrap();
    assert_eq!(event.meta, meta());
    assert_eq!(event.verdict, unrouted());
    assert_eq!(event.payload.as_deref(), Some(&b"{\"zen\":\"hm\"}"[..]));
}

#[test]
fn a_record_of_format_1_takes_a_new_verdict() {
    let record = Record::from_bytes(hex_bytes(include_str!("record_format_1.hex")));
    let pending = Verdict::Pending { reason: "later".into(), waits: Vec::new() };
    assert_eq!(record.with_verdict(&pending).unwrap().open_meta().unwrap().verdict, pending);
}

#[test]
fn a_history_stands_beside_the_verdict_and_outlives_it() {
    let redriven = Happened { at: Timestamp::from_millis(7), what: Incident::Redriven { attempts: 3 } };
    let fate = Fate { verdict: unrouted(), history: vec![redriven.clone()] };
    let record = sealed(b"{}").with_fate(&fate).unwrap();
    assert_eq!(record.fate().unwrap(), fate);
    let pending = Verdict::Pending { reason: "later".into(), waits: Vec::new() };
    let event = record.with_verdict(&pending).unwrap().open().unwrap();
    assert_eq!((event.verdict, event.history), (pending, vec![redriven]));
}

#[test]
fn a_newer_format_is_named() {
    let mut bytes = sealed(b"{}").bytes().to_vec();
    bytes[0] = 9;
    assert_eq!(Record::from_bytes(bytes.into()).open(), Err(Damage::NewerFormat(9)));
}

fn hex_bytes(text: &str) -> Bytes {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

proptest! {
    #[test]
    fn what_was_sealed_is_opened(payload in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let event = sealed(&payload).open().unwrap();
        prop_assert_eq!(event.payload.as_deref(), Some(&payload[..]));
        prop_assert_eq!(event.meta, meta());
    }

    #[test]
    fn a_flipped_bit_is_found(payload in proptest::collection::vec(any::<u8>(), 0..256), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = sealed(&payload).bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Record::from_bytes(bytes.into()).open().is_err());
    }

    #[test]
    fn a_cut_is_found(keep in any::<prop::sample::Index>()) {
        let bytes = sealed(b"{\"some\":\"payload\"}").bytes().clone();
        let keep = keep.index(bytes.len());
        prop_assert!(Record::from_bytes(bytes.slice(..keep)).open().is_err());
    }
}
