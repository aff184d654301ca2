//! Opaque bytes: routes by weight, and their way to an endpoint and back.
//!
//! | file | owns |
//! | --- | --- |
//! | [`route`] | weighted destinations of a listener or chain |
//! | [`sni_dnat`] | clusters by the server name that spells them |
//! | [`exchange`] | one connection from route to last byte |
//! | [`pump`] | both directions and their limits in time |
//! | [`direction`] | one direction: back-pressure and half-close |
//! | [`buffers`] | what bytes are moved with |
//! | [`finished`] | what access logs are told |

pub mod buffers;
pub mod direction;
pub mod exchange;
pub mod finished;
pub mod pump;
pub mod route;
pub mod sni_dnat;
