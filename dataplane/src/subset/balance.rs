//! What a cluster may use now, as requests see it: groups of hosts with shares of the traffic.
//! A pick costs the same whether there are five hosts or five thousand.

use std::rc::Rc;

use fairway_shared::snapshot::cluster::Balancer;

use super::group::Group;
use super::hash;
use super::host::Host;
use crate::route::weights::Weights;

/// How often a draw is repeated to avoid a host that was tried already (Istio contract 2.9).
const DRAWS_MAX: usize = 5;

/// The endpoints that one cluster may use now. Replaced whole on every change.
#[derive(Debug)]
pub struct SubsetView {
    all: Box<[Rc<Host>]>,
    groups: Box<[Group]>,
    /// Groups that have no share now.
    spare: Box<[Group]>,
    shares: Weights,
    first_turn: u32,
}

/// Hosts that are equal but for their weights, and their share of the traffic.
#[derive(Debug, Default)]
pub struct Members {
    /// With weights, which are positive.
    pub hosts: Vec<(Rc<Host>, u32)>,
    /// Relative to the other groups.
    pub share: u32,
}

impl SubsetView {
    /// `all` are the hosts that the cluster has, whether they may be used or not. `turn` is where
    /// round robin begins: each worker draws its own, so that workers which share nothing do not
    /// all begin with the same host.
    pub fn new(all: Vec<Rc<Host>>, groups: Vec<Members>, balancer: Balancer, turn: u32) -> Self {
        let groups = groups.into_iter().filter(|group| !group.hosts.is_empty());
        let (groups, spare): (Vec<_>, Vec<_>) = groups.partition(|group| group.share > 0);
        let build = |groups: Vec<Members>| -> Box<[Group]> {
            groups.into_iter().map(|group| Group::new(group.hosts, balancer, turn)).collect()
        };
        Self {
            all: all.into(),
            shares: Weights::new(groups.iter().map(|group| group.share)),
            groups: build(groups),
            spare: build(spare),
            first_turn: turn,
        }
    }

    /// Nothing at all. `turn` is where round robin begins once there is something.
    pub fn empty(turn: u32) -> Self {
        Self::new(Vec::new(), Vec::new(), Balancer::Random, turn)
    }

    /// All of them, whether they may be used or not.
    pub fn hosts(&self) -> &[Rc<Host>] {
        &self.all
    }

    /// Where the next round robin would go on.
    pub fn turn(&self) -> u32 {
        self.groups.first().map_or(self.first_turn, Group::turn)
    }

    /// A host for the next request, none of `tried` if that can be helped; nothing if no host may
    /// be used. `key` is what a balancer that hashes goes by.
    pub fn pick(
        &self,
        key: Option<u64>,
        tried: &[Rc<Host>],
        random: &mut fastrand::Rng,
    ) -> Option<&Rc<Host>> {
        let is_new = |host: &&Rc<Host>| !tried.iter().any(|one| Rc::ptr_eq(one, host));
        let mut chosen = self.draw(key, 0, random)?;
        for attempt in 1..=DRAWS_MAX {
            if is_new(&chosen) {
                return Some(chosen);
            }
            chosen = self.draw(key, attempt, random)?;
        }
        // Draws may insist: of two hosts the one that refuses everything is the idle one.
        Some(self.groups.iter().flat_map(Group::hosts).find(is_new).unwrap_or(chosen))
    }

    /// As [`Self::pick`], from a priority or locality of which nothing was tried, if there is one.
    pub fn pick_elsewhere(
        &self,
        key: Option<u64>,
        tried: &[Rc<Host>],
        random: &mut fastrand::Rng,
    ) -> Option<&Rc<Host>> {
        let is_tried = |host: &Rc<Host>| tried.iter().any(|one| Rc::ptr_eq(one, host));
        let mut groups = self.groups.iter().chain(&self.spare);
        match groups.find(|group| !group.hosts().any(is_tried)) {
            Some(group) => Some(group.draw(key, 0, random)),
            None => self.pick(key, tried, random),
        }
    }

    fn draw(
        &self,
        key: Option<u64>,
        attempt: usize,
        random: &mut fastrand::Rng,
    ) -> Option<&Rc<Host>> {
        let group = match &*self.groups {
            [] => return None,
            [only] => only,
            several => {
                // A key's group is as constant as its host.
                let place = key.map_or_else(|| random.u32(..), |key| hash::spread(key) as u32);
                several.get(self.shares.at(place))?
            }
        };
        Some(group.draw(key, attempt, random))
    }
}

#[cfg(test)]
mod tests;
