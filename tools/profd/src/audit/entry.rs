//! The record of one request.

use std::time::SystemTime;

use common::record::profd::{Audit, AuditedProcess};

use crate::core::audit::{self, AuditDetail};
use crate::log::format_time;

/// Makes the record of a request without its client. `function` stands for the name where the request has none.
pub(crate) fn make_record(request_id: String, function: &str, detail: &AuditDetail) -> Audit {
    let (processes, omitted) = detail.listed_processes();
    let target = detail.target.as_ref();
    let (pids, pids_omitted) = target.map(audit::RequestTarget::listed_pids).unwrap_or_default();
    let count = |n: usize| (n > 0).then_some(n as u64);
    Audit {
        time: format_time(SystemTime::now()),
        request_id,
        function: if detail.function.is_empty() { function } else { detail.function }.to_owned(),
        job_id: target.map(|t| t.job_id),
        pids: pids.to_vec(),
        pids_omitted: count(pids_omitted),
        user: target.and_then(|t| t.user.clone()),
        output: target.and_then(|t| t.output.clone()),
        processes: processes.iter().map(process_record).collect(),
        processes_omitted: count(omitted),
        answer: detail.answer.name().to_owned(),
        code: detail.code.map(|code| code.name().to_owned()),
        reason: detail.reason.clone(),
        ..Audit::default()
    }
}

fn process_record(process: &audit::AuditedProcess) -> AuditedProcess {
    AuditedProcess {
        pid: process.pid,
        host_pid: (process.pid != process.host_pid).then_some(process.host_pid),
        uid: process.uid,
        user: process.user.clone(),
        result: process.result.name().to_owned(),
        trace_id: process.trace_id.map(|id| id.to_string()),
    }
}
