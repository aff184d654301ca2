//! The remote carrier.
use super::{Ended, Subscriber};
pub async fn session(_subscriber: &mut Subscriber) -> Option<Ended> {
    None
}
