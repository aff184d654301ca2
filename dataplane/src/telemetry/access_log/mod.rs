//! Access logs: a record becomes a line in the worker, lines go in batches to a helper thread,
//! and only that thread writes. A file that is slow costs lines, which are counted, never time of
//! a request.

pub mod format;
mod sink;
mod time;
mod writer;

pub use sink::{LogOutput, Sink};

use std::rc::Rc;
use std::time::SystemTime;

use fairway_shared::condition;
use fairway_shared::log_format::LogFormatError;
use fairway_shared::snapshot::settings::AccessLog;

use super::evaluate::Test;
use super::record::{Capture, Record};
use format::Format;

/// One access log of a snapshot.
#[derive(Debug)]
pub struct Log {
    format: Format,
    filter: Option<Test>,
    sink: Rc<Sink>,
}

impl Log {
    /// Compiles it; what it wants of headers is added to `capture`. Without a filter that can be
    /// read, every request is written: control lets no other through.
    ///
    /// # Errors
    /// Its format cannot be written.
    pub fn new(
        source: &AccessLog,
        hostname: &str,
        output: &LogOutput,
        capture: &mut Capture,
    ) -> Result<Self, LogFormatError> {
        let format = Format::new(&source.format, hostname, capture)?;
        let filter = source.filter.as_deref().and_then(|text| condition::parse(text).ok());
        let filter = filter.and_then(|condition| Test::new(&condition, capture));
        Ok(Self { format, filter, sink: output.sink(&source.file) })
    }

    /// Writes the record that ended at `now`, if the filter lets it through.
    pub fn write(&self, record: &Record, now: SystemTime) {
        if self.filter.as_ref().is_none_or(|filter| filter.holds(record)) {
            self.sink.line(|scratch, out| self.format.write(record, now, scratch, out));
        }
    }
}
