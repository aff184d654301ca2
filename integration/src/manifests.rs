//! The reference configuration, with the ports of the fakes.

use std::net::SocketAddr;

/// Gateway, VirtualService and DestinationRule as a user wrote them.
pub const DK_SHOP: &str = include_str!("../../deploy/examples/dk-shop/dk-shop.yaml");

/// The host that `DK_SHOP` routes.
pub const DK_SHOP_HOST: &str = "user.thanhoo.com";

const SERVICES: &str = include_str!("../../deploy/examples/dk-shop/services.yaml");

/// The upstreams behind `DK_SHOP`'s subsets.
#[derive(Debug, Clone, Copy)]
pub struct Subsets {
    /// Of subset v1.
    pub v1: SocketAddr,
    /// Of subset v2.
    pub v2: SocketAddr,
}

/// Service, Pods and EndpointSlices for [`DK_SHOP`].
///
/// # Panics
/// If the example no longer has the ports that are changed here.
pub fn services(subsets: Subsets) -> String {
    let mut text = SERVICES.to_owned();
    for (port, upstream) in [("port: 9001", subsets.v1), ("port: 9002", subsets.v2)] {
        assert_eq!(text.matches(port).count(), 1, "{port}");
        text = text.replace(port, &format!("port: {}", upstream.port()));
    }
    text
}

/// [`DK_SHOP`] with all traffic on the other subset.
///
/// # Panics
/// If the example no longer names subset v1 once.
pub fn dk_shop_on_v2() -> String {
    assert_eq!(DK_SHOP.matches("            subset: v1").count(), 1);
    DK_SHOP.replace("            subset: v1", "            subset: v2")
}
