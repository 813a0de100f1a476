//! Stored records, as a damaged disk or another version leaves them: with a checksum that fits, so that what lies behind it is reached.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pointsman::access::audit::{self, Query};
use pointsman_actors::circuit_breaker::circuit::BreakerRecord;
use pointsman_actors::event_log::record::{Record, check};
use pointsman_actors::event_log::sealed;
use pointsman_actors::run::{Entry, RunHead, RunRecord};
use pointsman_actors::wait::record::WaitRecord;
use pointsman_actors::workflow::definition::Definition;
use pointsman_fuzz::actions;

fuzz_target!(|data: &[u8]| {
    let _ = check(data);
    let _ = Record::from_bytes(Bytes::copy_from_slice(data)).open();
    for format in [1, 2] {
        let record = Record::from_bytes(with_checksum(format, data));
        assert!(check(record.bytes()).is_ok());
        if let Ok(fate) = record.fate() {
            let again = record.with_fate(&fate).and_then(|again| again.fate());
            assert_eq!(again, Ok(fate), "what can be read can be written");
        }
        let _ = record.open();
    }
    let sealed = with_checksum(1, data);
    let _ = sealed::open::<RunRecord>(&sealed);
    let _ = sealed::open::<RunHead>(&sealed);
    let _ = sealed::open::<Entry>(&sealed);
    let _ = sealed::open::<WaitRecord>(&sealed);
    let _ = sealed::open::<BreakerRecord>(&sealed);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Definition::from_content(text, actions());
    let _ = audit::select(text, &Query { limit: 10, ..Query::default() });
    let _ = audit::last(text);
});

fn with_checksum(format: u8, data: &[u8]) -> Bytes {
    let mut record = vec![format];
    record.extend(crc32fast::hash(data).to_le_bytes());
    record.extend(data);
    record.into()
}
