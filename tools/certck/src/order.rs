//! Work done on all cores, with the results in the order of the work.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;

/// How many results may wait for an earlier one.
const WAITING: usize = 256;

/// Does `work` on each item and hands the results to `sink`, in order. One item is done without a thread.
///
/// # Errors
/// The first error of `sink`; work not begun by then is left.
pub(crate) fn in_order<T: Send, R: Send, E>(
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> R + Sync,
    mut sink: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let mut items = items.peekable();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let Some(first) = items.next() else { return Ok(()) };
    if threads == 1 || items.peek().is_none() {
        return std::iter::once(first).chain(items).try_for_each(|item| sink(work(item)));
    }
    let source = Mutex::new(std::iter::once(first).chain(items).enumerate());
    thread::scope(|scope| {
        let (send, receive) = sync_channel(WAITING);
        for _ in 0..threads {
            let (send, source, work) = (send.clone(), &source, &work);
            scope.spawn(move || {
                loop {
                    let next = source.lock().ok().and_then(|mut s| s.next());
                    let Some((i, item)) = next else { return };
                    // The other end is gone when the sink has failed.
                    if send.send((i, work(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for (i, result) in receive {
            waiting.insert(i, result);
            while let Some(result) = waiting.remove(&due) {
                due += 1;
                sink(result)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        let mut seen = Vec::new();
        let slow = |n: u64| {
            thread::sleep(std::time::Duration::from_millis(if n.is_multiple_of(3) { 3 } else { 0 }));
            n
        };
        in_order(0..100, slow, |n| {
            seen.push(n);
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_failing_sink_ends_it() {
        assert_eq!(in_order(0..10_000, |n| n, |n| if n == 3 { Err(n) } else { Ok(()) }), Err(3));
    }
}
