//! What clients of one address were refused before any route was looked at, counted by reason.

use std::cell::Cell;

use super::pulse::Phase;

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The first byte did not come in time.
    Silent,
    /// A request's head did not come in time.
    HeadTimeout,
    /// No request for too long.
    Idle,
    /// A request or response of which nothing moved for too long.
    StreamIdle,
    /// As many connections as there may be.
    Connections,
    /// As many connections of one address as there may be.
    AddressConnections,
    /// Not HTTP, or a form of it that is not taken.
    Malformed,
    /// A head that is too large, a target that is too long.
    TooLarge,
    /// HTTP/2 frames that are cheap to send and dear to take.
    Flood,
}

impl Refusal {
    /// In the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::HeadTimeout,
        Self::Idle,
        Self::StreamIdle,
        Self::Connections,
        Self::AddressConnections,
        Self::Malformed,
        Self::TooLarge,
        Self::Flood,
    ];

    /// That time ran out in that phase.
    pub fn late(phase: Phase) -> Self {
        match phase {
            Phase::Opening => Self::Silent,
            Phase::Head => Self::HeadTimeout,
            Phase::Busy => Self::StreamIdle,
            Phase::Idle | Phase::Tunnel | Phase::Free => Self::Idle,
        }
    }

    /// Value of the label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::HeadTimeout => "head_timeout",
            Self::Idle => "idle",
            Self::StreamIdle => "stream_idle",
            Self::Connections => "connections",
            Self::AddressConnections => "address_connections",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Flood => "flood",
        }
    }

    /// Refused because there is too much of what would be fine by itself?
    pub fn is_overload(self) -> bool {
        matches!(self, Self::Connections | Self::AddressConnections)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Refusals([Cell<u64>; Refusal::ALL.len()]);

impl Refusals {
    /// One more.
    pub fn count(&self, refusal: Refusal) {
        self.add(refusal, 1);
    }

    /// So many more.
    pub fn add(&self, refusal: Refusal, more: u64) {
        let cell = &self.0[refusal as usize];
        cell.set(cell.get() + more);
    }

    /// Count by reason; those that never occurred are left out.
    pub fn counts(&self) -> impl Iterator<Item = (Refusal, u64)> {
        let counts = Refusal::ALL.into_iter().zip(self.0.iter().map(Cell::get));
        counts.filter(|(_, count)| *count > 0)
    }
}
