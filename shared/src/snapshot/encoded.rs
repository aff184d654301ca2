//! Route tables as bincode: each specification once, routes by its number, so that what is shared
//! in memory is shared on the way and in the memory of whoever decodes it.

use std::collections::HashMap;
use std::sync::Arc;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode, impl_borrow_decode};

use super::route::{Route, RouteSpec, RouteTable, VirtualHost};

/// Specifications in the order of their first use, and the number of each.
#[derive(Default)]
struct Specs<'t> {
    in_order: Vec<&'t RouteSpec>,
    numbers: HashMap<*const RouteSpec, u32>,
}

impl<'t> Specs<'t> {
    fn of(table: &'t RouteTable) -> Self {
        let mut specs = Self::default();
        for route in table.virtual_hosts.iter().flat_map(|host| &host.routes) {
            let next = specs.in_order.len() as u32;
            specs.numbers.entry(Arc::as_ptr(&route.spec)).or_insert_with(|| {
                specs.in_order.push(&route.spec);
                next
            });
        }
        specs
    }

    fn number(&self, route: &Route) -> u32 {
        self.numbers.get(&Arc::as_ptr(&route.spec)).copied().unwrap_or_default()
    }
}

impl Encode for RouteTable {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let specs = Specs::of(self);
        specs.in_order.encode(encoder)?;
        (self.virtual_hosts.len() as u64).encode(encoder)?;
        for host in &self.virtual_hosts {
            host.domain.encode(encoder)?;
            host.https_redirect.encode(encoder)?;
            (host.routes.len() as u64).encode(encoder)?;
            for route in &host.routes {
                (&route.name, &route.origin, specs.number(route)).encode(encoder)?;
            }
        }
        Ok(())
    }
}

impl<C> Decode<C> for RouteTable {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let specs = Vec::<Arc<RouteSpec>>::decode(decoder)?;
        let hosts = u64::decode(decoder)?;
        // Not reserved: the number comes from outside, and only what follows proves it.
        let mut virtual_hosts = Vec::new();
        for _ in 0..hosts {
            virtual_hosts.push(Arc::new(virtual_host(&specs, decoder)?));
        }
        Ok(Self { virtual_hosts })
    }
}

impl_borrow_decode!(RouteTable);

fn virtual_host<D: Decoder>(
    specs: &[Arc<RouteSpec>],
    decoder: &mut D,
) -> Result<VirtualHost, DecodeError> {
    let domain = String::decode(decoder)?;
    let https_redirect = bool::decode(decoder)?;
    let count = u64::decode(decoder)?;
    let mut routes = Vec::new();
    for _ in 0..count {
        let (name, origin, number) = <(String, String, u32)>::decode(decoder)?;
        let spec = specs.get(number as usize).map(Arc::clone);
        let spec =
            spec.ok_or(DecodeError::Other("a route names a specification that is not there"))?;
        routes.push(Arc::new(Route { name, origin, spec }));
    }
    routes.shrink_to_fit();
    Ok(VirtualHost { domain, routes, https_redirect })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::codec::{decode_whole, encode_whole};
    use crate::snapshot::route::{DirectResponse, HeaderOps, RouteAction, RouteMatch};

    fn spec(status: u16) -> Arc<RouteSpec> {
        Arc::new(RouteSpec {
            matches: RouteMatch::default(),
            action: RouteAction::Direct(DirectResponse { status, body: vec![7; 1000] }),
            headers: HeaderOps::default(),
            cors: None,
            fault: None,
        })
    }

    fn host(domain: usize, specs: &[&Arc<RouteSpec>]) -> Arc<VirtualHost> {
        let route = |spec: &&Arc<RouteSpec>| {
            let (name, origin) = (format!("n{domain}"), "shop/user#0".to_owned());
            Arc::new(Route { name, origin, spec: Arc::clone(spec) })
        };
        Arc::new(VirtualHost {
            domain: format!("h{domain}"),
            routes: specs.iter().map(route).collect(),
            https_redirect: domain == 1,
        })
    }

    #[test]
    fn what_is_shared_is_sent_once_and_shared_again() {
        let (one, other) = (spec(200), spec(404));
        let virtual_hosts = (0..100).map(|nth| host(nth, &[&one, &other, &one])).collect();
        let table = RouteTable { virtual_hosts };
        let bytes = encode_whole(&table).unwrap();
        assert!(bytes.len() < 100 * 100, "{} bytes", bytes.len());
        let back: RouteTable = decode_whole(&bytes).unwrap();
        assert_eq!(back, table);
        let specs = |host: usize| back.virtual_hosts[host].routes.iter().map(|route| &route.spec);
        assert!(specs(0).zip(specs(99)).all(|(a, b)| Arc::ptr_eq(a, b)));
    }

    #[test]
    fn a_number_that_stands_for_nothing_is_an_error() {
        let table = RouteTable { virtual_hosts: vec![host(0, &[&spec(200)])] };
        let mut bytes = encode_whole(&table).unwrap();
        *bytes.last_mut().unwrap() = 1;
        assert!(decode_whole::<RouteTable>(&bytes).is_err());
    }
}
