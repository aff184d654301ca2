//! Walks the frames of an HTTP/2 client and counts those that cost the gateway more than the client:
//! PING, SETTINGS, PRIORITY, RST_STREAM, empty DATA, types nobody knows, and WINDOW_UPDATE beyond what
//! the bytes sent to it can be the reason of. Their number is bounded
//! over time; a connection beyond that is ended (CVE-2019-9512 to 9518, CVE-2023-44487).
//!
//! What the HTTP/2 library bounds itself is left to it: CONTINUATION frames, the size of header
//! lists, streams reset before they were taken up, resets of its own making. A header block that is
//! begun and not ended is watched like a request's head.
//!
//! The gateway's own frames are walked too: the library holds what a client gives no window for, after
//! the stream's task is over. Such a stream is open here until its end is written.

use std::time::{Duration, Instant};

use crate::clock;
use crate::listener::pulse::{Phase, Pulse};

/// Bytes of a client's preface (RFC 9113 3.4) and of a frame's head (4.1).
const PREFACE_BYTES: u32 = 24;
const HEAD_BYTES: usize = 9;
/// Types of frames and flags (RFC 9113 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
/// The bits of a stream's number.
const STREAM_MASK: u32 = !0 >> 1;
/// Counted frames that may come at once.
pub const BURST_MAX: u32 = 1_000;
/// And how many more each second. Who cancels streams as a habit stays below.
pub const PER_SECOND_MAX: u32 = 200;

/// Streams kept in mind: more are open only where the library ignores them.
const OPEN_MAX: usize = 4_096;
/// Bytes sent that are worth one WINDOW_UPDATE: clients that say two for each small answer are fine.
const BYTES_PER_UPDATE: u32 = 16;

/// Too many frames of the counted kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {BURST_MAX} control frames at once, or {PER_SECOND_MAX} a second")]
pub struct Flood;

/// See the module.
#[derive(Debug)]
pub struct FrameMeter {
    client: Walk,
    gateway: Walk,
    /// Streams of requests whose responses have not been written to their end.
    open: Vec<u32>,
    newest: u32,
    left: u32,
    /// Bytes sent that no WINDOW_UPDATE was counted for.
    sent: u32,
    refilled: Option<Instant>,
    /// What was waited for before the header block that has not ended.
    before_block: Option<Phase>,
}

/// One direction, from frame to frame.
#[derive(Debug, Default)]
struct Walk {
    /// Bytes to pass over before the next frame's head.
    skip: u32,
    head: [u8; HEAD_BYTES],
    held: usize,
}

/// What a frame's head says.
#[derive(Debug, Clone, Copy)]
struct Seen {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Walk {
    /// Takes bytes up to the end of the next frame's head; `None` if that is still to come.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Seen> {
        let skipped = bytes.len().min(self.skip as usize);
        self.skip -= u32::try_from(skipped).unwrap_or(self.skip);
        let rest = &bytes[skipped..];
        let taken = rest.len().min(HEAD_BYTES - self.held);
        self.head[self.held..self.held + taken].copy_from_slice(&rest[..taken]);
        self.held += taken;
        *bytes = &rest[taken..];
        if self.held < HEAD_BYTES {
            return None;
        }
        self.held = 0;
        let [high, middle, low, kind, flags, stream @ ..] = self.head;
        self.skip = u32::from_be_bytes([0, high, middle, low]);
        let stream = u32::from_be_bytes(stream) & STREAM_MASK;
        Some(Seen { length: self.skip, kind, flags, stream })
    }
}

impl Default for FrameMeter {
    fn default() -> Self {
        Self {
            client: Walk { skip: PREFACE_BYTES, ..Walk::default() },
            gateway: Walk::default(),
            open: Vec::new(),
            newest: 0,
            left: BURST_MAX,
            sent: 0,
            refilled: None,
            before_block: None,
        }
    }
}

impl FrameMeter {
    /// Looks at what comes next from the client, from its preface on.
    ///
    /// # Errors
    /// It is a flood.
    pub fn see(&mut self, mut bytes: &[u8], pulse: &Pulse) -> Result<(), Flood> {
        while let Some(seen) = self.client.next(&mut bytes) {
            self.heard(seen, pulse)?;
        }
        Ok(())
    }

    /// Looks at what went to the client.
    pub fn said(&mut self, mut bytes: &[u8], pulse: &Pulse) {
        self.sent = self.sent.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        while let Some(Seen { kind, flags, stream, .. }) = self.gateway.next(&mut bytes) {
            match kind {
                DATA | HEADERS if flags & END_STREAM != 0 => self.ended(stream, pulse),
                RST_STREAM => self.ended(stream, pulse),
                DATA if pulse.phase() == Phase::Busy => pulse.touch(),
                _ => {}
            }
        }
    }

    fn heard(&mut self, seen: Seen, pulse: &Pulse) -> Result<(), Flood> {
        let Seen { length, kind, flags, stream } = seen;
        match kind {
            HEADERS => {
                if stream > self.newest {
                    self.newest = stream;
                    if self.open.len() < OPEN_MAX {
                        self.open.push(stream);
                    }
                    pulse.set_holding(true);
                }
                self.block(flags & END_HEADERS != 0, pulse);
            }
            CONTINUATION => self.block(flags & END_HEADERS != 0, pulse),
            DATA if length > 0 || flags & END_STREAM != 0 => {}
            WINDOW_UPDATE if self.sent >= BYTES_PER_UPDATE => self.sent -= BYTES_PER_UPDATE,
            RST_STREAM => {
                self.ended(stream, pulse);
                return self.count(clock::now);
            }
            _ => return self.count(clock::now),
        }
        Ok(())
    }

    fn ended(&mut self, stream: u32, pulse: &Pulse) {
        if let Some(at) = self.open.iter().position(|open| *open == stream) {
            self.open.swap_remove(at);
        }
        if self.open.is_empty() {
            pulse.set_holding(false);
            if pulse.phase() == Phase::Busy {
                pulse.enter(Phase::Idle);
            }
        }
    }

    /// A header block that is not whole is waited for as a request's head is.
    fn block(&mut self, is_whole: bool, pulse: &Pulse) {
        match (is_whole, self.before_block) {
            (false, None) => {
                self.before_block = Some(pulse.phase());
                pulse.enter(Phase::Head);
            }
            (true, Some(before)) => {
                self.before_block = None;
                pulse.enter(before);
            }
            _ => {}
        }
    }

    fn count(&mut self, now: impl FnOnce() -> Instant) -> Result<(), Flood> {
        if self.left == 0 || self.refilled.is_none() {
            let now = now();
            let since = self.refilled.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
            let more = since.as_secs_f64().min(f64::from(BURST_MAX)) * f64::from(PER_SECOND_MAX);
            if more >= 1.0 {
                self.refilled = Some(now);
                self.left = (self.left + more as u32).min(BURST_MAX);
            }
        }
        self.left = self.left.checked_sub(1).ok_or(Flood)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        bytes.extend(vec![0xff; usize::from(length)]);
        bytes
    }

    /// How many of the frame pass before they are a flood, in pieces of that many bytes.
    fn passing(frame: &[u8], piece: usize) -> usize {
        let (mut meter, pulse) = (FrameMeter::default(), Pulse::new(Phase::Idle));
        let frames = BURST_MAX as usize * 3;
        let bytes = [vec![b'P'; PREFACE_BYTES as usize], frame.repeat(frames)].concat();
        let mut seen = 0;
        for part in bytes.chunks(piece) {
            if meter.see(part, &pulse).is_err() {
                break;
            }
            seen += part.len();
        }
        (seen.saturating_sub(PREFACE_BYTES as usize)) / frame.len()
    }

    #[test]
    fn only_frames_that_cost_are_a_flood_however_their_bytes_come() {
        let all = BURST_MAX as usize * 3;
        for (frame, is_flood) in [
            (frame(6, 0, 8), true),
            (frame(4, 0, 0), true),
            (frame(3, 0, 4), true),
            (frame(2, 0, 5), true),
            (frame(0, 0, 0), true),
            (frame(0xf0, 0, 3), true),
            (frame(0, END_STREAM, 0), false),
            (frame(0, 0, 1), false),
            (frame(1, END_HEADERS, 10), false),
            (frame(8, 0, 4), true),
        ] {
            for piece in [1, 7, 9, 1000] {
                let passed = passing(&frame, piece);
                let slack = PER_SECOND_MAX as usize * 5;
                match is_flood {
                    true => assert!(passed <= BURST_MAX as usize + slack, "{frame:?}: {passed}"),
                    false => assert_eq!(passed, all, "{frame:?}"),
                }
            }
        }
    }

    #[test]
    fn window_updates_are_paid_for_by_what_was_sent() {
        let (mut meter, pulse) = (FrameMeter::default(), Pulse::new(Phase::Idle));
        let (update, many) = (frame(WINDOW_UPDATE, 0, 4), BURST_MAX as usize * 3);
        let data = frame(DATA, 0, 7);
        meter.said(&data.repeat(many), &pulse);
        assert_eq!(meter.see(&vec![b'P'; PREFACE_BYTES as usize], &pulse), Ok(()));
        assert_eq!(meter.see(&update.repeat(many), &pulse), Ok(()));
        assert_eq!(meter.see(&update.repeat(many), &pulse), Err(Flood));
    }

    #[test]
    fn a_stream_is_open_until_its_end_is_written_or_it_is_reset() {
        let preface = vec![b'P'; PREFACE_BYTES as usize];
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, 5);
        for (heard, said, is_held) in [
            (vec![], vec![], true),
            (vec![], frame(HEADERS, END_HEADERS, 5), true),
            (vec![], frame(HEADERS, END_HEADERS | END_STREAM, 5), false),
            (vec![], [frame(HEADERS, 4, 5), frame(DATA, 0, 9)].concat(), true),
            (vec![], [frame(HEADERS, 4, 5), frame(DATA, END_STREAM, 9)].concat(), false),
            (vec![], frame(RST_STREAM, 0, 4), false),
            (frame(RST_STREAM, 0, 4), vec![], false),
        ] {
            let (mut meter, pulse) = (FrameMeter::default(), Pulse::new(Phase::Idle));
            meter.see(&[&preface[..], &asked[..], &heard[..]].concat(), &pulse).unwrap();
            said.chunks(4).for_each(|part| meter.said(part, &pulse));
            assert_eq!(pulse.is_holding(), is_held, "{heard:?} {said:?}");
        }
    }

    #[test]
    fn a_steady_few_are_no_flood() {
        let (mut meter, mut now) = (FrameMeter::default(), Instant::now());
        for _ in 0..BURST_MAX * 20 {
            now += Duration::from_secs(1) / (PER_SECOND_MAX / 2);
            assert_eq!(meter.count(|| now), Ok(()));
        }
        let more = (0..BURST_MAX * 2).take_while(|_| meter.count(|| now).is_ok()).count();
        assert!(more <= BURST_MAX as usize);
    }

    #[test]
    fn a_header_block_without_its_end_is_waited_for() {
        let (mut meter, pulse) = (FrameMeter::default(), Pulse::new(Phase::Idle));
        let preface = vec![b'P'; PREFACE_BYTES as usize];
        meter.see(&[preface, frame(HEADERS, 0, 5)].concat(), &pulse).unwrap();
        assert_eq!(pulse.phase(), Phase::Head);
        meter.see(&frame(CONTINUATION, 0, 5), &pulse).unwrap();
        assert_eq!(pulse.phase(), Phase::Head);
        meter.see(&frame(CONTINUATION, END_HEADERS, 5), &pulse).unwrap();
        assert_eq!(pulse.phase(), Phase::Idle);
    }
}
