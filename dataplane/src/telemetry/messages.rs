//! Counts gRPC messages in a body as it streams by: each has a byte, its length in four, and so
//! many more (gRPC over HTTP/2, "Length-Prefixed-Message").

/// Bytes in front of a message.
const PREFIX_BYTES: u8 = 5;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Messages {
    count: u64,
    /// Bytes of the current prefix that have come.
    prefix: u8,
    /// What they say of the length so far.
    length: u32,
    /// Bytes of the current message that have not come.
    left: usize,
}

impl Messages {
    /// Messages that began so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// More of the body.
    pub fn add(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = bytes.len().min(self.left);
            self.left -= skipped;
            let Some((byte, rest)) = bytes[skipped..].split_first() else { return };
            bytes = rest;
            match self.prefix {
                // Whether the message is compressed.
                0 => self.count += 1,
                _ => self.length = (self.length << 8) | u32::from(*byte),
            }
            self.prefix += 1;
            if self.prefix == PREFIX_BYTES {
                self.prefix = 0;
                self.left = std::mem::take(&mut self.length) as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_the_body_is_cut() {
        let mut body = Vec::new();
        for length in [0_u32, 3, 300, 1] {
            body.push(0);
            body.extend_from_slice(&length.to_be_bytes());
            body.extend(std::iter::repeat_n(7, length as usize));
        }
        for size in [1, 2, 4, 5, 7, body.len()] {
            let mut messages = Messages::default();
            body.chunks(size).for_each(|chunk| messages.add(chunk));
            assert_eq!(messages.count(), 4, "in pieces of {size}");
        }
    }
}
