//! A list of events, decoded by as many threads as there are processors, delivered in the file's order by one.
//!
//! The input is cut into blocks where an event probably begins, and threads decode them ahead. Whether a block really
//! begins between two events is known when the block before it has been read: it ended exactly there, between two
//! events. If it did not, because the place was inside a string or something is damaged, what the thread made of the
//! block is thrown away, and the block is read again behind what was left of the one before. So the result is the same
//! as reading from the first byte to the last, with any number of threads.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use super::ReadStop;
use super::block::{Batch, BlockEnd, BlockScratch, ListForm, ListState, Supply, decode_block};
use super::deliver::{Delivery, prepare_events};
use super::error::{ReadError, ReadFault};
use super::row::Row;
use super::window::{Block, InputWindow, Passed, TEXT_LIMIT};
use crate::model::{Event, EventSink, EventWorker, FastState, PreparedEvents};

/// The number of parts of a block, one of which is decoded at a time without other threads: little enough to stay in the processor's cache.
const PIECES: usize = 8;

/// How a list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListEnd {
    /// With its bracket, or where its bracket should be.
    Closed,
    /// With the input, between two events.
    Unclosed,
    /// With the input, inside an event.
    Truncated,
}

/// The tools that all lists of a document are read with.
pub(super) struct ListTools {
    pub(super) threads: usize,
    pub(super) scratch: BlockScratch,
}

/// Reads the events of a list, of which the window shows what follows its beginning.
pub(super) fn read_list(
    window: &mut InputWindow,
    form: ListForm,
    tools: &mut ListTools,
    delivery: &mut Delivery<'_>,
) -> Result<ListEnd, ReadStop> {
    let ListTools { threads, scratch } = tools;
    let mut state = ListState::Opened;
    // Short lists are not worth a thread.
    let first = if *threads > 1 { 1 } else { usize::MAX };
    if let Some(end) = read_pieces(window, form, &mut state, (scratch, delivery), first)? {
        return Ok(end);
    }
    std::thread::scope(|scope| match Decoders::start(scope, *threads, delivery) {
        Some(decoders) => {
            let (carried, wanted, spare) = (Vec::new(), 0, Vec::new());
            let list = ParallelList { window, form, state, delivery, carried, wanted, scratch, spare };
            list.read_blocks(&decoders)
        }
        None => {
            let end = read_pieces(window, form, &mut state, (scratch, delivery), usize::MAX)?;
            Ok(end.unwrap_or(ListEnd::Unclosed))
        }
    })
}

/// Reads pieces of the window on this thread, at most `pieces` of them. `None` if the list goes on.
fn read_pieces(
    window: &mut InputWindow,
    form: ListForm,
    state: &mut ListState,
    (scratch, delivery): (&mut BlockScratch, &mut Delivery<'_>),
    pieces: usize,
) -> Result<Option<ListEnd>, ReadStop> {
    let piece = window.block() / PIECES;
    let (mut size, mut read) = (piece, 0);
    while read < pieces {
        window.fill_to(size);
        let text = &window.rest()[..window.rest().len().min(size)];
        let last = window.is_done() && text.len() == window.rest().len();
        let batch = decode_block(text, *state, form, supply_behind(text.len(), last), scratch);
        delivery.deliver(text, &batch, window.passed())?;
        scratch.rows = batch.rows;
        window.consume(batch.consumed);
        match batch.end {
            BlockEnd::Closed => return Ok(Some(ListEnd::Closed)),
            BlockEnd::Truncated => return Ok(Some(ListEnd::Truncated)),
            BlockEnd::Open(_) if last => return Ok(Some(ListEnd::Unclosed)),
            BlockEnd::Open(next) => *state = next,
        }
        // An event that does not fit gets more room.
        size = if batch.consumed == 0 { (size * 2).min(TEXT_LIMIT) } else { piece };
        read += usize::from(batch.consumed > 0);
    }
    Ok(None)
}

fn supply_behind(length: usize, last: bool) -> Supply {
    match length {
        _ if last => Supply::End,
        TEXT_LIMIT.. => Supply::Later,
        _ => Supply::More,
    }
}

/// A block that was decoded ahead.
struct Decoded {
    text: Vec<u8>,
    guess: Option<Guess>,
    last: bool,
}

/// The result of a block that probably begins where it seems to.
struct Guess {
    /// The state that it was decoded with.
    state: ListState,
    batch: Batch,
    passed: Passed,
    /// The output of the sink's worker for its events.
    prepared: Option<PreparedEvents>,
}

/// A block to decode, and where to put it then.
struct DecodeJob {
    block: Block,
    form: ListForm,
    /// Memory to put rows in.
    rows: Vec<Row>,
    reply: SyncSender<Decoded>,
}

/// Threads that decode blocks.
struct Decoders {
    jobs: SyncSender<DecodeJob>,
    /// How many blocks may be under way.
    depth: usize,
}

impl Decoders {
    /// Starts threads; they end with this. `None` if the system has none to give.
    fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        threads: usize,
        delivery: &Delivery<'_>,
    ) -> Option<Self> {
        let depth = threads + 2;
        let (jobs, queue) = sync_channel::<DecodeJob>(depth);
        let queue = Arc::new(Mutex::new(queue));
        let start = |_: &usize| {
            let (queue, worker) = (Arc::clone(&queue), delivery.make_worker());
            let builder = std::thread::Builder::new().name("decode".to_owned());
            builder.spawn_scoped(scope, move || decode_jobs(&queue, worker)).is_ok()
        };
        let started = (0..threads).take_while(start).count();
        (started > 0).then_some(Self { jobs, depth })
    }
}

fn decode_jobs(queue: &Mutex<Receiver<DecodeJob>>, mut worker: Option<Box<dyn EventWorker>>) {
    let mut scratch = BlockScratch::default();
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(DecodeJob { block: Block { text, after, last }, form, rows, reply }) = job else { return };
        scratch.rows = rows;
        let guess = after.map(|state| {
            let batch = decode_block(&text, state, form, supply_behind(0, last), &mut scratch);
            let mut passed = Passed::default();
            passed.pass(&text[..batch.consumed]);
            let prepared = worker.as_mut().and_then(|worker| prepare_events(&text, &batch, &mut **worker));
            Guess { state, batch, passed, prepared }
        });
        // If reading has stopped, the receiver is gone.
        let _ = reply.send(Decoded { text, guess, last });
    }
}

/// A list that is read with other threads.
struct ParallelList<'a, 's> {
    window: &'a mut InputWindow,
    form: ListForm,
    state: ListState,
    delivery: &'a mut Delivery<'s>,
    /// The bytes that could not be read without those that follow.
    carried: Vec<u8>,
    /// How much text it takes to read on.
    wanted: usize,
    scratch: &'a mut BlockScratch,
    /// Memory for rows that is free again.
    spare: Vec<Vec<Row>>,
}

impl ParallelList<'_, '_> {
    fn read_blocks(mut self, decoders: &Decoders) -> Result<ListEnd, ReadStop> {
        let mut under_way: VecDeque<Receiver<Decoded>> = VecDeque::new();
        let mut passed = self.window.passed();
        // The first block begins where this thread has read to.
        let mut after = Some(self.state);
        let mut all_taken = false;
        loop {
            while under_way.len() < decoders.depth && !all_taken {
                let mut block = self.window.take_block();
                block.after = after.take().or(block.after);
                all_taken = block.last;
                let (reply, decoded) = sync_channel(1);
                let (form, rows) = (self.form, self.spare.pop().unwrap_or_default());
                decoders
                    .jobs
                    .send(DecodeJob { block, form, rows, reply })
                    .map_err(|_| lost_thread(passed))?;
                under_way.push_back(decoded);
            }
            let Some(next) = under_way.pop_front() else { return Ok(ListEnd::Unclosed) };
            let decoded = next.recv().map_err(|_| lost_thread(passed))?;
            let last = decoded.last;
            let end = match self.take_decoded(decoded, &mut passed)? {
                BlockEnd::Closed => ListEnd::Closed,
                BlockEnd::Truncated => ListEnd::Truncated,
                BlockEnd::Open(_) if last => ListEnd::Unclosed,
                BlockEnd::Open(state) => {
                    self.state = state;
                    continue;
                }
            };
            let mut texts = vec![std::mem::take(&mut self.carried)];
            for next in under_way {
                texts.push(next.recv().map_err(|_| lost_thread(passed))?.text);
            }
            self.window.put_back(texts, passed);
            return Ok(end);
        }
    }

    /// Delivers a block, decoded again if it did not begin where it seemed to. What is left of it is carried.
    fn take_decoded(&mut self, decoded: Decoded, passed: &mut Passed) -> Result<BlockEnd, ReadStop> {
        let Decoded { mut text, guess, last } = decoded;
        match guess {
            Some(guess) if self.carried.is_empty() && guess.state == self.state => {
                let Guess { batch, prepared, .. } = guess;
                self.delivery.deliver_prepared(&text, &batch, *passed, prepared)?;
                passed.append(guess.passed);
                self.carry(text, batch.consumed);
                self.spare.push(batch.rows);
                return Ok(batch.end);
            }
            _ if self.carried.is_empty() => {}
            _ => {
                self.carried.append(&mut text);
                text = std::mem::take(&mut self.carried);
            }
        }
        if text.len() < self.wanted && !last {
            self.carried = text;
            return Ok(BlockEnd::Open(self.state));
        }
        let mut at = 0;
        loop {
            // Just as much as without other threads, so that the same events are too long.
            let (part, whole) = match text[at..].split_at_checked(TEXT_LIMIT) {
                Some((part, _)) => (part, false),
                None => (&text[at..], true),
            };
            let supply = supply_behind(part.len(), last && whole);
            let batch = decode_block(part, self.state, self.form, supply, self.scratch);
            self.delivery.deliver(part, &batch, *passed)?;
            passed.pass(&part[..batch.consumed]);
            at += batch.consumed;
            self.scratch.rows = batch.rows;
            match batch.end {
                BlockEnd::Open(state) if !whole && batch.consumed > 0 => self.state = state,
                end => {
                    self.carry(text, at);
                    return Ok(end);
                }
            }
        }
    }

    /// Keeps what of a text was not consumed. If nothing was, it takes twice as much to try again: trying with every
    /// block that comes would take time by the square of an event's length.
    fn carry(&mut self, mut text: Vec<u8>, consumed: usize) {
        self.wanted = if consumed == 0 { (text.len() * 2).min(TEXT_LIMIT) } else { 0 };
        if consumed == text.len() {
            return self.window.reuse(text);
        }
        text.drain(..consumed);
        self.carried = text;
    }
}

/// A decoding thread is gone, which no input can bring about.
fn lost_thread(passed: Passed) -> ReadStop {
    let fault = ReadFault::Io(io::Error::other("a decoding thread has ended"));
    ReadError::new(passed.position_behind(b""), fault).into()
}

/// The order and the content of events, in one number. For fuzzing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EventDigest(u64);

impl EventSink for EventDigest {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let key =
            (self.0, event.index, event.phase, event.category as u8, event.text, event.start, event.dur);
        self.0 = FastState::default().hash_one(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
