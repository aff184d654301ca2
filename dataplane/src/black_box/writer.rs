//! The worker's end: stores into mapped words. All but the panic text is written by one thread
//! at a time, so no store has to be a read-modify-write.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::head::{self, Head};
use super::{
    APPLIED, CURRENT, ContentHash, ENTRY_HEAD, ENTRY_LENGTH, ENTRY_OPEN, ENTRY_TICKET, HASH,
    IN_FLIGHT, LAST_TICKET, PANIC, PANIC_WORDS, QUARANTINE, QUARANTINED_MAX, TRIED_AT, VERSION,
    WORD_BYTES, WORDS, entry_of,
};
use crate::sys::memory;

/// One for the process: a panic can come from any thread and has nothing else to hold on to.
static BOX: OnceLock<BlackBox> = OnceLock::new();

/// See the module.
#[derive(Debug)]
pub struct BlackBox {
    words: &'static [AtomicU64],
}

/// A request that was begun and has not ended.
#[derive(Debug)]
pub struct Entry {
    black_box: &'static BlackBox,
    ticket: u64,
}

/// Maps the memory that the supervisor gave, for the whole process.
///
/// # Errors
/// The kernel's; the worker can do without.
pub fn open(file: &File) -> io::Result<()> {
    let words = memory::map(file, WORDS)?;
    // A second one would be the supervisor's mistake; the first one stays.
    let _ = BOX.set(BlackBox { words });
    Ok(())
}

/// This process's, if it is a worker.
pub fn get() -> Option<&'static BlackBox> {
    BOX.get()
}

impl BlackBox {
    /// A snapshot is going to be prepared and applied.
    pub fn trying(&self, hash: &ContentHash, version: u64, now_ms: u64) {
        self.set(APPLIED, 0);
        for (at, bytes) in hash.chunks_exact(WORD_BYTES).enumerate() {
            self.set(HASH + at, word(bytes));
        }
        self.set(VERSION, version);
        self.set(TRIED_AT, now_ms);
    }

    /// The snapshot tried last is served.
    pub fn applied(&self) {
        self.set(APPLIED, 1);
    }

    /// Why the process is about to abort; the first of several stays.
    pub fn panicked(&self, text: &str) {
        if self.get(PANIC) == 0 {
            let text = &text.as_bytes()[..text.len().min(PANIC_WORDS * WORD_BYTES)];
            self.set_bytes(PANIC + 1, text);
            self.set(PANIC, text.len() as u64);
        }
    }

    /// Remembers a request. The oldest one is forgotten, even if it still runs.
    pub fn begin(&'static self, head: &Head) -> Entry {
        let ticket = self.get(LAST_TICKET) + 1;
        let entry = entry_of(ticket);
        self.set(entry + ENTRY_TICKET, 0);
        self.set_bytes(entry + ENTRY_HEAD, head.bytes());
        self.set(entry + ENTRY_LENGTH, head.bytes().len() as u64);
        self.set(entry + ENTRY_OPEN, 1);
        self.set(entry + ENTRY_TICKET, ticket);
        self.set(LAST_TICKET, ticket);
        self.set(IN_FLIGHT, self.get(IN_FLIGHT) + 1);
        Entry { black_box: self, ticket }
    }

    /// Whether the supervisor wants such requests answered without being looked at. Costs a load
    /// while there are none.
    pub fn is_quarantined(&self, head: &Head) -> bool {
        let count = self.get(QUARANTINE);
        if count == 0 {
            return false;
        }
        let fingerprint = head::fingerprint(head.bytes());
        let count = usize::try_from(count).map_or(QUARANTINED_MAX, |n| n.min(QUARANTINED_MAX));
        (0..count).any(|at| self.get(QUARANTINE + 1 + at) == fingerprint)
    }

    fn set_bytes(&self, start: usize, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
        for (at, word) in words.iter().enumerate() {
            self.set(start + at, u64::from_ne_bytes(*word));
        }
        if !rest.is_empty() {
            self.set(start + words.len(), word(rest));
        }
    }

    fn set(&self, at: usize, value: u64) {
        self.words[at].store(value, Relaxed);
    }

    fn get(&self, at: usize) -> u64 {
        self.words[at].load(Relaxed)
    }
}

impl Entry {
    /// Does something for the request: if the process ends meanwhile, the request is suspected.
    pub fn handle<T>(&self, work: impl FnOnce() -> T) -> T {
        self.black_box.set(CURRENT, self.ticket);
        let result = work();
        self.black_box.set(CURRENT, 0);
        result
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let entry = entry_of(self.ticket);
        if self.black_box.get(entry + ENTRY_TICKET) == self.ticket {
            self.black_box.set(entry + ENTRY_OPEN, 0);
        }
        self.black_box.set(IN_FLIGHT, self.black_box.get(IN_FLIGHT).saturating_sub(1));
    }
}

/// Fewer than eight bytes as they lie in memory.
fn word(bytes: &[u8]) -> u64 {
    let mut whole = [0; WORD_BYTES];
    whole[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(whole)
}

#[cfg(test)]
impl BlackBox {
    /// Apart from the process's own.
    pub fn of(file: &File) -> &'static Self {
        Box::leak(Box::new(Self { words: memory::map(file, WORDS).unwrap() }))
    }
}
