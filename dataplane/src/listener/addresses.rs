//! How many connections each client address has open. Only kept where that is limited.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// One host may take any address of its IPv6 network of 64 bits.
const IPV6_NETWORK: u128 = !0 << 64;

/// See the module.
#[derive(Debug, Default)]
pub struct Addresses(RefCell<HashMap<IpAddr, u32>>);

/// A connection's place among those of its address.
#[derive(Debug)]
pub struct Place {
    addresses: Rc<Addresses>,
    key: IpAddr,
}

impl Addresses {
    /// A place; `None` if `max` are taken.
    pub fn enter(self: &Rc<Self>, address: IpAddr, max: u32) -> Option<Place> {
        let key = match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & IPV6_NETWORK).into()),
            v4 => v4,
        };
        let mut counts = self.0.borrow_mut();
        let count = counts.entry(key).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { addresses: Rc::clone(self), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.borrow_mut();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_places_and_gets_them_back() {
        let addresses = Rc::<Addresses>::default();
        let enter = |text: &str| addresses.enter(text.parse().unwrap(), 2);
        let first = enter("192.0.2.1");
        let second = enter("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some() && enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        let network = [enter("2001:db8::1"), enter("2001:db8::ffff:0:0:2")];
        assert!(network.iter().all(Option::is_some) && enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::3").is_some());
        drop(second);
        assert!(enter("192.0.2.1").is_some());
        drop((first, network));
        assert_eq!(addresses.0.borrow().len(), 0);
    }
}
