//! All objects at this moment, united from what the source tells, and handed on when it is quiet.
//!
//! | module | owns |
//! | --- | --- |
//! | [`objects`] | views by origin; one sorted list without duplicates; pure |
//! | [`debounce`] | when a moment counts as quiet; pure |
//! | [`actor`] | the mailbox, the clock and the recipient around both |

pub mod actor;
pub mod debounce;
pub mod objects;
