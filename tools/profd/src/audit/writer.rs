//! The thread that writes the audit trail: many lines at once when many wait, and again until they are written.

use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::condition::TrailCondition;
use super::target::AuditFile;
use crate::counters::Counters;
use crate::log::DaemonLog;

/// Maximum number of lines in one write.
const MAX_BATCH: usize = 256;

/// How long the thread waits after an error before it tries again.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// A line, ended by a newline, and who waits for it.
#[derive(Debug)]
pub(super) struct AuditLine {
    pub(super) line: Vec<u8>,
    /// Answered when the line is written.
    pub(super) done: oneshot::Sender<()>,
}

/// Writes lines until the queue is closed and empty. The log has errors under the name of the file.
pub(super) fn write_lines(
    mut lines: mpsc::Receiver<AuditLine>,
    (mut file, name): (AuditFile, &str),
    condition: &TrailCondition,
    counters: &Counters,
    log: &DaemonLog,
) {
    let (mut batch, mut waiting) = (Vec::new(), Vec::new());
    while let Some(first) = lines.blocking_recv() {
        for line in std::iter::once(first).chain(std::iter::from_fn(|| lines.try_recv().ok())).take(MAX_BATCH)
        {
            batch.extend_from_slice(&line.line);
            waiting.push(line.done);
        }
        let mut written = 0;
        while written < batch.len() {
            condition.begin_write();
            match write_some(&mut file, &batch, written) {
                Ok(n) => {
                    written += n;
                    if condition.note_error(false) {
                        log.notice(name, "the audit trail is written again");
                    }
                }
                Err(e) => {
                    counters.audit_errors.increment();
                    condition.note_error(true);
                    log.limited(
                        "audit",
                        name,
                        format_args!("cannot write the audit trail: {e}; requests are rejected until it can"),
                    );
                    std::thread::sleep(RETRY_INTERVAL);
                }
            }
        }
        condition.end_write();
        for done in waiting.drain(..) {
            let _ = done.send(());
        }
        batch.clear();
    }
}

/// Writes what is left of a batch. Between two lines the file may be another one than before; within a line it is not.
fn write_some(file: &mut AuditFile, batch: &[u8], written: usize) -> io::Result<usize> {
    if written == 0 || batch[written - 1] == b'\n' {
        file.follow_rotation()?;
    }
    match file.write(&batch[written..]) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}
