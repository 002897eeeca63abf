//! `getMetrics`: what processes have sent lately, page by page, and the last samples of the host.

use common::rpc::message::{HostSample, ListPage, MetricListReply, MetricSeries};

use crate::core::audit::AuditDetail;
use crate::core::outcome::{HandlerOutcome, RpcReply};
use crate::core::registry::Uptime;

/// Maximum number of totals in a reply. Each may have two dozen texts of 200 bytes, and the reply must stay below the longest
/// that clients accept.
pub(crate) const MAX_LISTED_SERIES: usize = 512;

/// The facts that were looked up for a request.
#[derive(Debug)]
pub(crate) struct MetricFacts {
    /// The totals of the page.
    pub(crate) series: Vec<MetricSeries>,
    /// The number of totals that the client may see.
    pub(crate) total: u64,
    pub(crate) samples: Vec<HostSample>,
    /// Time since the daemon started.
    pub(crate) uptime: Uptime,
}

/// Returns the part of a list that a page has: how many to skip, and how many to take.
pub(crate) fn bound_page(page: ListPage) -> (usize, usize) {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX).min(MAX_LISTED_SERIES);
    (usize::try_from(page.offset).unwrap_or(usize::MAX), limit)
}

/// Returns one page. Samples are on the first one.
pub(crate) fn handle_metrics(page: ListPage, facts: MetricFacts) -> HandlerOutcome {
    let MetricFacts { series, total, samples, uptime } = facts;
    let samples = if page.offset == 0 { samples } else { Vec::new() };
    let reply = MetricListReply { series, offset: page.offset, total, samples, uptime_s: uptime.as_secs() };
    HandlerOutcome {
        reply: RpcReply::Metrics(Box::new(reply)),
        audit: AuditDetail { function: "getMetrics", ..AuditDetail::default() },
        effects: Vec::new(),
    }
}
