//! Messages as JSON, for pages and terminals: field names as in the `.proto` files, enum values
//! by name, unset fields with their defaults, 64-bit numbers as numbers.

use std::sync::OnceLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::FILE_DESCRIPTOR_SET;

/// A message of this API as JSON.
pub fn json<M: Message + Name>(message: &M) -> Value {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build wrote these descriptors")
    });
    let descriptor = pool
        .get_message_by_name(&M::full_name())
        .expect("every message of the API is in its descriptors");
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).expect("message and descriptor come from one source");
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(false)
        .use_proto_field_name(true)
        .skip_default_fields(false);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("a value in memory takes every message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn messages_print_with_names_and_defaults() {
        let cluster = wire::Cluster {
            balancer: wire::Balancer::LeastRequest.into(),
            idle_timeout_ms: Some(5),
            ..Default::default()
        };
        let printed = json(&cluster);
        assert_eq!(printed["balancer"], "BALANCER_LEAST_REQUEST");
        assert_eq!(printed["idle_timeout_ms"], 5);
        assert_eq!(printed["max_requests_per_connection"], 0);
    }
}
