//! What of a file stays in force when it no longer reads well. Pure.
//!
//! - A file that is broken in any place keeps all objects of its last good version, as it may be
//!   half-written and an object that is missing from it may not be meant to go. Without such a
//!   version, as at the start, the objects that can be read serve.
//! - An object with a field of the wrong type keeps its own last good version; its neighbours
//!   are taken as they are.

use std::sync::Arc;

use fairway_shared::diagnostic::{Diagnostic, ObjectRef};

use super::parse::{Entry, ParsedFile};
use crate::object::Object;

/// The objects to use and the findings to report, given what is in the file now and the objects
/// used so far.
pub fn settle(
    parsed: ParsedFile,
    last_good: &[Arc<Object>],
) -> (Vec<Arc<Object>>, Vec<Diagnostic>) {
    let ParsedFile { entries, mut diagnostics, is_broken } = parsed;
    let keeps_all = is_broken && !last_good.is_empty();
    if keeps_all {
        let broken = diagnostics.iter_mut().filter(|finding| finding.code == "FWY0001");
        broken.for_each(|finding| finding.remedy.push_str(FILE_IS_KEPT));
    }
    let mut objects = Vec::new();
    for entry in entries {
        match entry {
            Entry::Valid(object) => objects.push(object),
            Entry::Invalid(mut finding) => {
                if let Some(kept) = find(last_good, &finding.object) {
                    finding.remedy.push_str(OBJECT_IS_KEPT);
                    objects.push(kept);
                }
                diagnostics.push(*finding);
            }
        }
    }
    diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
    (if keeps_all { last_good.to_vec() } else { objects }, diagnostics)
}

const FILE_IS_KEPT: &str = "; until then the file's last good version serves";
const OBJECT_IS_KEPT: &str = "; until then the object's last good version serves";

fn find(last_good: &[Arc<Object>], reference: &ObjectRef) -> Option<Arc<Object>> {
    last_good.iter().find(|object| object.reference() == *reference).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::parse::parse_file;

    const GATEWAY: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
        metadata: {name: shop, namespace: dk-shop}\nspec: {servers: [{port: {number: 80}}]}\n";
    const RULE: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
        metadata: {name: user, namespace: dk-shop}\nspec: {host: user}\n";

    /// Settles `now` on top of `before`: names of the objects in force, findings as printed.
    fn check(before: &str, now: &str, names: &[&str], findings: &[&str]) {
        let (good, _) = settle(parse_file("a.yaml", before.as_bytes()), &[]);
        let (objects, diagnostics) = settle(parse_file("a.yaml", now.as_bytes()), &good);
        let in_force: Vec<_> = objects.iter().map(|object| object.meta.name.as_str()).collect();
        assert_eq!(in_force, names, "before:\n{before}\nnow:\n{now}");
        let printed: Vec<_> = diagnostics.iter().map(Diagnostic::to_string).collect();
        assert_eq!(printed, findings, "before:\n{before}\nnow:\n{now}");
    }

    #[test]
    fn a_half_written_file_keeps_all_its_objects() {
        let both = format!("{GATEWAY}---\n{RULE}");
        let finding = "Error [FWY0001] (a.yaml:6) the document has no kind: add it, or move the \
            file out of the directory; until then the file's last good version serves";
        let cut = format!("{GATEWAY}---\napiVersion: networking.istio.io/v1\n");
        check(&both, &cut, &["shop", "user"], &[finding]);
        let finding = "Warning [FWY0001] (a.yaml) the file is empty: remove the file, or write a \
            comment into it, if it is to hold no objects; until then the file's last good version \
            serves";
        check(&both, "", &["shop", "user"], &[finding]);
        check(&both, "# nothing left\n", &[], &[]);
        check(&both, GATEWAY, &["shop"], &[]);
    }

    #[test]
    fn a_file_broken_from_the_start_serves_what_can_be_read() {
        let finding = "Error [FWY0001] (a.yaml:1) the document has no apiVersion: add it, or move \
            the file out of the directory";
        check("", &format!("kind: Gateway\n---\n{RULE}"), &["user"], &[finding]);
    }

    #[test]
    fn an_object_of_the_wrong_type_keeps_its_own_last_good_version() {
        let both = format!("{GATEWAY}---\n{RULE}");
        let wrong = both.replace("{number: 80}", "{number: eighty}");
        let place = "(Gateway dk-shop/shop a.yaml:4) spec.servers[0].port.number: expected a whole \
            number (not negative), found the text `eighty`: correct the field";
        let kept = "; until then the object's last good version serves";
        let finding = format!("Error [IST0106] {place}{kept}");
        check(&both, &wrong, &["shop", "user"], &[&finding]);
        check(RULE, &wrong, &["user"], &[&format!("Error [IST0106] {place}")]);
    }
}
