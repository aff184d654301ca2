//! One subscriber: what it is sent, and when. A pure state machine without clock or carrier.
//!
//! At most one update is outstanding. Whatever is published meanwhile waits as nothing more than
//! "not current", so a slow subscriber costs no memory and is sent the newest when it answers.

use fairway_shared::id::SnapshotVersion;

use super::REASON_BYTES_MAX;

/// What a subscriber says of the outstanding update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It serves it now.
    Ack,
    /// It refused it whole and serves what it served before.
    Nack {
        /// Why.
        reason: String,
    },
}

/// An order to the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// What to send.
    pub version: SnapshotVersion,
    /// What the subscriber acked last, to send it as a delta; 0 = nothing yet.
    pub base: SnapshotVersion,
}

/// An answer to something that is not outstanding. The subscriber is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("answer to version {version}, but {outstanding} is outstanding")]
pub struct UnexpectedAnswer {
    /// As answered.
    pub version: SnapshotVersion,
    /// What was sent and not answered; 0 = nothing.
    pub outstanding: SnapshotVersion,
}

/// A nack that no ack has followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nacked {
    /// What was refused.
    pub version: SnapshotVersion,
    /// Why, one line.
    pub reason: String,
}

/// One subscriber's state. Versions are 0 until there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    sent: SnapshotVersion,
    acked: SnapshotVersion,
    nacked: Option<Nacked>,
    is_outstanding: bool,
}

impl Session {
    /// `current` is the version every subscriber should have.
    pub fn offer(&mut self, current: SnapshotVersion) -> Option<Send> {
        if self.is_outstanding || current == self.sent {
            return None;
        }
        self.sent = current;
        self.is_outstanding = true;
        Some(Send { version: current, base: self.acked })
    }

    /// Takes an answer in; then [`offer`](Self::offer) says what comes next.
    ///
    /// # Errors
    /// The answer is to nothing that is outstanding; the state is as it was.
    pub fn answer(
        &mut self,
        version: SnapshotVersion,
        answer: Answer,
    ) -> Result<(), UnexpectedAnswer> {
        let outstanding = if self.is_outstanding { self.sent } else { SnapshotVersion(0) };
        if version != outstanding || !self.is_outstanding {
            return Err(UnexpectedAnswer { version, outstanding });
        }
        self.is_outstanding = false;
        match answer {
            Answer::Ack => {
                self.acked = version;
                self.nacked = None;
            }
            Answer::Nack { reason } => {
                self.nacked = Some(Nacked { version, reason: one_line(&reason) });
            }
        }
        Ok(())
    }

    /// Sent last.
    pub fn sent(&self) -> SnapshotVersion {
        self.sent
    }

    /// Acked last.
    pub fn acked(&self) -> SnapshotVersion {
        self.acked
    }

    /// Nacked since the last ack.
    pub fn nacked(&self) -> Option<&Nacked> {
        self.nacked.as_ref()
    }
}

/// The first [`REASON_BYTES_MAX`] bytes on one line: reasons come from outside and go to logs.
fn one_line(reason: &str) -> String {
    let mut line = String::new();
    for c in reason.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v(number: u64) -> SnapshotVersion {
        SnapshotVersion(number)
    }

    fn nack(reason: &str) -> Answer {
        Answer::Nack { reason: reason.into() }
    }

    #[test]
    fn a_slow_subscriber_skips_to_the_newest() {
        let mut session = Session::default();
        assert_eq!(session.offer(v(1)), Some(Send { version: v(1), base: v(0) }));
        assert_eq!(session.offer(v(2)), None);
        assert_eq!(session.offer(v(3)), None);
        session.answer(v(1), Answer::Ack).unwrap();
        assert_eq!(session.offer(v(3)), Some(Send { version: v(3), base: v(1) }));
    }

    #[test]
    fn a_refused_version_is_not_sent_again_and_is_no_base() {
        let mut session = Session::default();
        session.offer(v(1));
        session.answer(v(1), Answer::Ack).unwrap();
        session.offer(v(2));
        session.answer(v(2), nack("no\nroom")).unwrap();
        assert_eq!(session.nacked().unwrap().reason, "no room");
        assert_eq!(session.offer(v(2)), None);
        assert_eq!(session.offer(v(3)), Some(Send { version: v(3), base: v(1) }));
        session.answer(v(3), Answer::Ack).unwrap();
        assert_eq!(session.nacked(), None);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = one_line(&"ä".repeat(REASON_BYTES_MAX));
        assert_eq!(reason, "ä".repeat(REASON_BYTES_MAX / 2));
    }

    #[derive(Debug, Clone)]
    enum Event {
        Publish,
        Answer { offset: u64, is_ack: bool },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Publish),
            (0_u64..3, any::<bool>()).prop_map(|(offset, is_ack)| Event::Answer { offset, is_ack }),
        ]
    }

    proptest! {
        /// The model knows only which version is outstanding, if any.
        #[test]
        fn one_update_is_outstanding_and_the_next_is_the_newest(
            events in proptest::collection::vec(event(), 0..200),
        ) {
            let (mut session, mut current, mut outstanding) = (Session::default(), 0, None);
            let mut last_acked = 0;
            for event in events {
                match event {
                    Event::Publish => current += 1,
                    Event::Answer { offset, is_ack } => {
                        let version = session.sent().0.saturating_sub(offset);
                        let answer = if is_ack { Answer::Ack } else { nack("bad") };
                        let taken = session.answer(v(version), answer).is_ok();
                        prop_assert_eq!(taken, outstanding == Some(version));
                        if taken {
                            outstanding = None;
                            last_acked = if is_ack { version } else { last_acked };
                        }
                    }
                }
                if let Some(send) = session.offer(v(current)) {
                    prop_assert_eq!(outstanding, None);
                    prop_assert_eq!(send, Send { version: v(current), base: v(last_acked) });
                    outstanding = Some(current);
                }
                prop_assert!(outstanding.is_some() || session.sent() == v(current));
                prop_assert_eq!(session.acked(), v(last_acked));
            }
        }
    }
}
