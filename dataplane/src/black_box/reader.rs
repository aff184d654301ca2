//! The supervisor's end: reads what a worker left behind. The worker may have been broken, so
//! that every length and number is checked. Writes nothing but the quarantine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::head;
use super::{
    APPLIED, CURRENT, ContentHash, ENTRIES, ENTRY_HEAD, ENTRY_LENGTH, ENTRY_OPEN, ENTRY_TICKET,
    ENTRY_WORDS, HASH, IN_FLIGHT, PANIC, PANIC_WORDS, QUARANTINE, QUARANTINED_MAX, RING, TRIED_AT,
    VERSION, WORD_BYTES, WORDS,
};

/// All that a worker left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The snapshot tried last.
    pub tried: Option<Tried>,
    /// What it said when it panicked.
    pub panic: Option<String>,
    /// Requests begun and not ended.
    pub in_flight: u64,
    /// The request that was being handled, if any was.
    pub current: Option<Remembered>,
    /// The last requests, newest first.
    pub recent: Vec<Remembered>,
}

/// A snapshot that a worker tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Of its content.
    pub hash: ContentHash,
    /// Its version.
    pub version: u64,
    /// When, in [`monotonic_ms`](crate::sys::memory::monotonic_ms).
    pub at_ms: u64,
    /// It was served.
    pub is_applied: bool,
}

/// A request as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// One line.
    pub head: String,
    /// Of method, host and path.
    pub fingerprint: u64,
    /// It had not ended.
    pub is_open: bool,
}

/// Reads it all.
///
/// # Errors
/// The kernel's.
pub fn read(file: &File) -> io::Result<Findings> {
    let mut bytes = vec![0; WORDS * WORD_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(examine(&bytes))
}

/// Only the snapshot tried last; cheap, for a worker that lives.
///
/// # Errors
/// The kernel's.
pub fn read_tried(file: &File) -> io::Result<Option<Tried>> {
    let mut bytes = [0; (APPLIED + 1) * WORD_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(tried(&bytes))
}

/// Tells the worker which fingerprints to answer without looking; those beyond
/// [`QUARANTINED_MAX`] are left out.
///
/// # Errors
/// The kernel's.
pub fn quarantine(file: &File, fingerprints: &[u64]) -> io::Result<()> {
    let kept = &fingerprints[..fingerprints.len().min(QUARANTINED_MAX)];
    for (at, fingerprint) in kept.iter().enumerate() {
        file.write_all_at(&fingerprint.to_ne_bytes(), offset(QUARANTINE + 1 + at))?;
    }
    file.write_all_at(&(kept.len() as u64).to_ne_bytes(), offset(QUARANTINE))
}

fn offset(word: usize) -> u64 {
    (word * WORD_BYTES) as u64
}

fn examine(bytes: &[u8]) -> Findings {
    let panic = text(bytes, PANIC + 1, word(bytes, PANIC), PANIC_WORDS);
    let mut entries: Vec<_> = (0..ENTRIES).filter_map(|number| entry(bytes, number)).collect();
    entries.sort_unstable_by_key(|(ticket, _)| std::cmp::Reverse(*ticket));
    let current = word(bytes, CURRENT);
    let current = entries.iter().find(|(ticket, _)| *ticket == current);
    Findings {
        tried: tried(bytes),
        panic: (!panic.is_empty()).then(|| String::from_utf8_lossy(panic).into_owned()),
        in_flight: word(bytes, IN_FLIGHT),
        current: current.map(|(_, remembered)| remembered.clone()),
        recent: entries.into_iter().map(|(_, remembered)| remembered).collect(),
    }
}

fn tried(bytes: &[u8]) -> Option<Tried> {
    let hash = bytes.get(HASH * WORD_BYTES..)?.first_chunk()?;
    let at_ms = word(bytes, TRIED_AT);
    (at_ms > 0).then(|| Tried {
        hash: *hash,
        version: word(bytes, VERSION),
        at_ms,
        is_applied: word(bytes, APPLIED) != 0,
    })
}

fn entry(bytes: &[u8], number: usize) -> Option<(u64, Remembered)> {
    let start = RING + number * ENTRY_WORDS;
    let ticket = word(bytes, start + ENTRY_TICKET);
    let length = word(bytes, start + ENTRY_LENGTH);
    let head = text(bytes, start + ENTRY_HEAD, length, ENTRY_WORDS - ENTRY_HEAD);
    let remembered = Remembered {
        head: head::shown(head),
        fingerprint: head::fingerprint(head),
        is_open: word(bytes, start + ENTRY_OPEN) != 0,
    };
    (ticket > 0).then_some((ticket, remembered))
}

/// `length` bytes from a word on, but no more than there is room for.
fn text(bytes: &[u8], start: usize, length: u64, words_max: usize) -> &[u8] {
    let room = words_max * WORD_BYTES;
    let length = usize::try_from(length).map_or(room, |length| length.min(room));
    let start = start * WORD_BYTES;
    bytes.get(start..start + length).unwrap_or_default()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at * WORD_BYTES..).and_then(<[u8]>::first_chunk);
    found.map_or(0, |word| u64::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::super::writer::BlackBox;
    use super::*;
    use crate::black_box::head::Head;
    use crate::sys::memory;
    use http::Request;
    use proptest::prelude::*;

    fn head(path: &str) -> Head {
        Head::line(&Request::get(path).header("host", "a").body(()).unwrap())
    }

    #[test]
    fn what_a_worker_wrote_is_found_after_it() {
        let file = memory::create(WORDS).unwrap();
        assert_eq!(read(&file).unwrap(), Findings::default());
        let black_box = BlackBox::of(&file);
        black_box.trying(&[7; 32], 5, 1_234);
        black_box.applied();
        let first = black_box.begin(&head("/first"));
        drop(black_box.begin(&head("/done")));
        black_box.panicked("index out of bounds");
        black_box.panicked("and again");
        let found = first.handle(|| read(&file).unwrap());
        let tried = Tried { hash: [7; 32], version: 5, at_ms: 1_234, is_applied: true };
        assert_eq!(found.tried, Some(tried));
        assert_eq!(read_tried(&file).unwrap(), Some(tried));
        assert_eq!(found.panic.as_deref(), Some("index out of bounds"));
        assert_eq!((found.in_flight, found.current.unwrap().head), (1, "GET a /first".to_owned()));
        let recent: Vec<_> = found.recent.iter().map(|r| (&*r.head, r.is_open)).collect();
        assert_eq!(recent, [("GET a /done", false), ("GET a /first", true)]);
        assert_eq!(read(&file).unwrap().current, None, "nothing is in hand any more");
    }

    #[test]
    fn the_ring_keeps_the_newest_and_an_overwritten_entry_ends_quietly() {
        let file = memory::create(WORDS).unwrap();
        let black_box = BlackBox::of(&file);
        let oldest = black_box.begin(&head("/0"));
        let rest: Vec<_> =
            (1..=ENTRIES).map(|n| black_box.begin(&head(&format!("/{n}")))).collect();
        drop(oldest);
        let found = read(&file).unwrap();
        assert_eq!((found.in_flight, found.recent.len()), (ENTRIES as u64, ENTRIES));
        assert_eq!(found.recent[0].head, format!("GET a /{ENTRIES}"));
        assert!(found.recent.iter().all(|remembered| remembered.is_open));
        drop(rest);
    }

    #[test]
    fn a_quarantined_request_is_known_by_its_fingerprint() {
        let file = memory::create(WORDS).unwrap();
        let black_box = BlackBox::of(&file);
        assert!(!black_box.is_quarantined(&head("/bad")));
        let mut many = vec![0; QUARANTINED_MAX + 5];
        many[3] = head::fingerprint(head("/bad").bytes());
        quarantine(&file, &many).unwrap();
        assert!(black_box.is_quarantined(&head("/bad")));
        assert!(!black_box.is_quarantined(&head("/good")));
        assert_eq!(read(&file).unwrap(), Findings::default(), "the rest is untouched");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let mut whole = bytes.repeat(8);
            let _ = examine(&whole);
            whole.resize(WORDS * WORD_BYTES, 0xff);
            let _ = examine(&whole);
        }
    }
}
