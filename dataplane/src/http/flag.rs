//! Response flags: why a response is what it is, in the letters that operators know
//! (Istio contract 2.12).

use std::fmt;

/// A set of flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags(u32);

macro_rules! flags {
    ($($name:ident = $bit:literal, $letters:literal, $doc:literal;)*) => {
        impl Flags {
            $(#[doc = $doc] pub const $name: Self = Self(1 << $bit);)*
            const LETTERS: &'static [(Self, &'static str)] = &[$((Self::$name, $letters)),*];
        }
    };
}

flags! {
    NO_ROUTE = 0, "NR", "No virtual host or no route.";
    NO_CLUSTER = 1, "NC", "The route's cluster does not exist.";
    NO_HEALTHY_UPSTREAM = 2, "UH", "The cluster has no endpoint that may be used.";
    CONNECT_FAILURE = 3, "UF", "No connection to the endpoint.";
    UPSTREAM_CLOSED = 4, "UC", "The endpoint closed before its response was complete.";
    UPSTREAM_RESET = 5, "UR", "The endpoint reset the stream.";
    LOCAL_RESET = 6, "LR", "The gateway reset the stream.";
    OVERFLOW = 7, "UO", "A limit of the cluster was reached.";
    TIMEOUT = 8, "UT", "The route's timeout or the last try's passed.";
    RETRIES_EXHAUSTED = 9, "URX", "No try is left.";
    CLIENT_GONE = 10, "DC", "The client went away.";
    FAULT_ABORT = 11, "FI", "Aborted by the route's fault.";
    FAULT_DELAY = 12, "DI", "Delayed by the route's fault.";
    UPSTREAM_PROTOCOL = 13, "UPE", "The endpoint's response is not valid HTTP.";
    STREAM_IDLE = 15, "SI", "Nothing moved for too long.";
    CLIENT_PROTOCOL = 14, "DPE", "The client's request is not valid HTTP.";
}

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set but for `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Are all of `other` in this set?
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// `UF,URX`, or `-` for none.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (flag, letters) in Self::LETTERS {
            if self.has(*flag) {
                write!(f, "{separator}{letters}")?;
                separator = ",";
            }
        }
        if separator.is_empty() { f.write_str("-") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_as_operators_know_them() {
        assert_eq!(Flags::NONE.to_string(), "-");
        assert_eq!(Flags::RETRIES_EXHAUSTED.and(Flags::CONNECT_FAILURE).to_string(), "UF,URX");
    }
}
