//! Injected faults (Istio contract 2.10). A share that is not written means never.

use std::sync::Arc;

use fairway_shared::snapshot::route::{AbortStatus, Fault, Share};

use super::findings::{DEPRECATED, Scope};
use super::quantities::{positive_ms, read_share, read_whole_share};
use crate::object::virtual_service::{self as object, FaultAbort, FaultDelay};

/// Names of the gRPC status codes, by number.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Reads `fault`; `None` if it never strikes.
pub(super) fn read_fault(
    fault: Option<&object::Fault>,
    scope: &mut Scope<'_>,
) -> Option<Arc<Fault>> {
    let fault = fault?;
    if fault.delay.is_none() && fault.abort.is_none() {
        scope.invalid("fault", "has neither delay nor abort", "add one, or remove the fault");
    }
    let delay = fault.delay.as_ref().and_then(|delay| read_delay(delay, scope));
    let abort = fault.abort.as_ref().and_then(|abort| read_abort(abort, scope));
    let strikes = delay.is_some() || abort.is_some();
    strikes.then(|| Arc::new(Fault { delay, abort }))
}

fn read_delay(delay: &FaultDelay, scope: &mut Scope<'_>) -> Option<(u64, Share)> {
    if delay.exponential_delay.is_some() {
        let remedy = "use fixedDelay";
        scope.invalid("fault.delay.exponentialDelay", "is not supported", remedy);
    }
    let share = match (delay.percentage, delay.percent) {
        (Some(percentage), _) => read_share(percentage, "fault.delay.percentage", scope),
        (None, Some(percent)) => {
            scope.warn(DEPRECATED, "fault.delay.percent", "is deprecated", "use percentage");
            read_whole_share(percent, "fault.delay.percent", scope)
        }
        (None, None) => Share(0),
    };
    let Some(text) = delay.fixed_delay.as_deref() else {
        scope.invalid("fault.delay.fixedDelay", "is missing", "write a duration such as 5s");
        return None;
    };
    let delay_ms = positive_ms(text, "fault.delay.fixedDelay", scope)?;
    (share > Share(0)).then_some((delay_ms, share))
}

fn read_abort(abort: &FaultAbort, scope: &mut Scope<'_>) -> Option<(AbortStatus, Share)> {
    let share = match abort.percentage {
        Some(percentage) => read_share(percentage, "fault.abort.percentage", scope),
        None => Share(0),
    };
    if abort.http2_error.is_some() {
        scope.invalid("fault.abort.http2Error", "is not supported", "use httpStatus");
    }
    let status = match (abort.http_status, abort.grpc_status.as_deref()) {
        (Some(status), None) => read_http_status(status, scope)?,
        (None, Some(name)) => read_grpc_status(name, scope)?,
        _ => {
            let remedy = "set exactly one of them";
            scope.invalid("fault.abort", "sets none or both of httpStatus and grpcStatus", remedy);
            return None;
        }
    };
    (share > Share(0)).then_some((status, share))
}

fn read_http_status(status: u32, scope: &mut Scope<'_>) -> Option<AbortStatus> {
    let known = u16::try_from(status).ok().filter(|status| (200..=599).contains(status));
    if known.is_none() {
        scope.invalid("fault.abort.httpStatus", format_args!("is {status}"), "use 200 to 599");
    }
    known.map(AbortStatus::Http)
}

fn read_grpc_status(name: &str, scope: &mut Scope<'_>) -> Option<AbortStatus> {
    let code = (0_u8..).zip(GRPC_STATUSES).find(|(_, status)| *status == name);
    if code.is_none() {
        let remedy = "use a name such as UNAVAILABLE";
        scope.invalid("fault.abort.grpcStatus", format_args!("`{name}` is unknown"), remedy);
    }
    code.map(|(code, _)| AbortStatus::Grpc(code))
}
