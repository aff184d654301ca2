//! What outlives a worker: which snapshot it was trying, which requests it had, why it panicked.
//!
//! The memory belongs to the supervisor, one for each process, and the worker writes it: a few
//! stores into mapped words per request, no syscall, no allocation. The supervisor reads it once
//! the process has ended, as bytes of unknown quality. The other way it tells a living worker
//! which requests are quarantined.
//!
//! | words | what |
//! | --- | --- |
//! | `HASH` (4), `VERSION`, `TRIED_AT`, `APPLIED` | the snapshot tried last |
//! | `IN_FLIGHT`, `CURRENT`, `LAST_TICKET` | requests now, the one in hand, the newest |
//! | `QUARANTINE` (1 + [`QUARANTINED_MAX`]) | how many fingerprints, then they |
//! | `PANIC` (1 + `PANIC_WORDS`) | length of the text, then the text |
//! | `RING` ([`ENTRIES`] × `ENTRY_WORDS`) | ticket, whether it is open, length, head |

pub mod head;
pub mod reader;
pub mod writer;

/// SHA-256 of a snapshot's content, without its version.
pub type ContentHash = [u8; 32];

const HASH: usize = 0;
const VERSION: usize = 4;
const TRIED_AT: usize = 5;
const APPLIED: usize = 6;
const IN_FLIGHT: usize = 7;
const CURRENT: usize = 8;
const LAST_TICKET: usize = 9;
const QUARANTINE: usize = 10;
/// Fingerprints that can be quarantined at a time.
pub const QUARANTINED_MAX: usize = 16;
const PANIC: usize = QUARANTINE + 1 + QUARANTINED_MAX;
const PANIC_WORDS: usize = 64;
const RING: usize = PANIC + 1 + PANIC_WORDS;
/// Requests remembered.
pub const ENTRIES: usize = 32;
const ENTRY_TICKET: usize = 0;
const ENTRY_OPEN: usize = 1;
const ENTRY_LENGTH: usize = 2;
const ENTRY_HEAD: usize = 3;
const ENTRY_WORDS: usize = ENTRY_HEAD + head::HEAD_BYTES_MAX / WORD_BYTES;
const WORD_BYTES: usize = size_of::<u64>();
/// Length of it all.
pub const WORDS: usize = RING + ENTRIES * ENTRY_WORDS;

/// The first word of the entry that a ticket uses. Tickets count from 1.
fn entry_of(ticket: u64) -> usize {
    // The remainder is below `ENTRIES`, which is a `usize`.
    RING + (ticket % ENTRIES as u64) as usize * ENTRY_WORDS
}
