//! Parallel work on all cores, with the results in the order of the items.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Condvar, Mutex};
use std::thread;

/// The most items in progress or finished whose results wait for an earlier one.
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
    let Some(first) = items.next() else { return Ok(()) };
    if items.peek().is_none() {
        return sink(work(first));
    }
    in_order_as_they_come(std::iter::once(first).chain(items), work, sink)
}

/// [`in_order`] for a source that may wait for the result of one item before it yields the next: work on an item begins
/// as soon as it is there.
///
/// # Errors
/// As there.
pub(crate) fn in_order_as_they_come<T: Send, R: Send, E>(
    mut items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> R + Sync,
    mut sink: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    if threads == 1 {
        return items.try_for_each(|item| sink(work(item)));
    }
    let source = Mutex::new(items.enumerate());
    let window = ReorderWindow::default();
    thread::scope(|scope| {
        let _open = WindowGuard(&window);
        let (send, receive) = sync_channel(WAITING);
        for _ in 0..threads {
            let (send, source, work) = (send.clone(), &source, &work);
            let window = &window;
            scope.spawn(move || {
                // The others must not wait for a result that a panic has taken along.
                let open = WindowGuard(window);
                loop {
                    let next = source.lock().ok().and_then(|mut s| s.next());
                    let Some((i, item)) = next else { break };
                    if !window.wait_for_turn(i) {
                        break;
                    }
                    // The other end is gone when the sink has failed.
                    if send.send((i, work(item))).is_err() {
                        break;
                    }
                }
                std::mem::forget(open);
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
                window.advance_to(due);
            }
        }
        Ok(())
    })
}

/// How far the work may be ahead of what was handed over.
#[derive(Default)]
struct ReorderWindow {
    /// The number of the item that is due, and whether the window is closed.
    state: Mutex<(usize, bool)>,
    moved: Condvar,
}

impl ReorderWindow {
    /// Waits until work on an item may begin; false if the window is closed.
    fn wait_for_turn(&self, item: usize) -> bool {
        let Ok(state) = self.state.lock() else { return false };
        let ahead = |(due, closed): &mut (usize, bool)| !*closed && item >= *due + WAITING;
        self.moved.wait_while(state, ahead).is_ok_and(|state| !state.1)
    }

    fn advance_to(&self, due: usize) {
        if let Ok(mut state) = self.state.lock() {
            state.0 = due;
        }
        self.moved.notify_all();
    }

    fn close(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.1 = true;
        }
        self.moved.notify_all();
    }
}

/// Closes the window when it is dropped.
struct WindowGuard<'a>(&'a ReorderWindow);

impl Drop for WindowGuard<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_behind_a_slow_item_are_bounded() {
        let begun = AtomicUsize::new(0);
        let work = |n: usize| {
            if n == 0 {
                thread::sleep(std::time::Duration::from_millis(200));
                begun.load(Ordering::SeqCst)
            } else {
                begun.fetch_add(1, Ordering::SeqCst)
            }
        };
        let mut first = None;
        in_order(0..10 * WAITING, work, |n| {
            first.get_or_insert(n);
            Ok::<_, ()>(())
        })
        .unwrap();
        assert!(first.unwrap() < WAITING, "{first:?}");
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_of_a_worker_ends_the_run() {
        let work = |n: usize| assert!(n > 0, "the first");
        let _ = in_order(0..10 * WAITING, work, |()| Ok::<_, ()>(()));
    }

    #[test]
    fn results_come_in_the_order_of_the_work() {
        let mut seen = Vec::new();
        let slow = |n: u64| {
            thread::sleep(std::time::Duration::from_millis(if n % 3 == 0 { 3 } else { 0 }));
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
    fn a_failing_consumer_ends_parallel_work() {
        assert_eq!(in_order(0..10_000, |n| n, |n| if n == 3 { Err(n) } else { Ok(()) }), Err(3));
    }
}
