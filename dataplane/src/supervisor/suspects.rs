//! Requests that workers were handling when they crashed. Pure.

use std::collections::VecDeque;

/// Fingerprints remembered; the oldest is forgotten.
const REMEMBERED_MAX: usize = 64;

/// Crashes by the fingerprint of the request in hand, oldest first.
#[derive(Debug, Default)]
pub struct Suspects(VecDeque<(u64, u32)>);

impl Suspects {
    /// A crash while such a request was handled; how many there have been by now.
    pub fn crashed(&mut self, fingerprint: u64) -> u32 {
        let known = self.0.iter().position(|(known, _)| *known == fingerprint);
        let before = known.and_then(|at| self.0.remove(at)).map_or(0, |(_, count)| count);
        if self.0.len() >= REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((fingerprint, before.saturating_add(1)));
        before.saturating_add(1)
    }

    /// Those with at least that many crashes, newest first. `None` = none is quarantined.
    pub fn quarantined(&self, crashes_min: Option<u32>) -> Vec<u64> {
        let Some(min) = crashes_min else { return Vec::new() };
        let guilty = self.0.iter().rev().filter(|(_, count)| *count >= min);
        guilty.map(|(fingerprint, _)| *fingerprint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_are_counted_by_request_and_quarantine_is_asked_for() {
        let mut suspects = Suspects::default();
        assert_eq!([suspects.crashed(7), suspects.crashed(8), suspects.crashed(7)], [1, 1, 2]);
        assert!(suspects.quarantined(None).is_empty());
        assert_eq!(suspects.quarantined(Some(2)), [7]);
        assert_eq!(suspects.quarantined(Some(1)), [7, 8]);
        for other in 100..100 + REMEMBERED_MAX as u64 {
            suspects.crashed(other);
        }
        assert_eq!(suspects.crashed(7), 1, "forgotten");
    }
}
