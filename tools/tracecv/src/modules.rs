//! The modules that work on devices belongs to, found while a trace is read for the first time.

use std::hash::BuildHasher;
use std::io;

use trace::launch::{HostThreads, LaunchSpools, number_of_work};
use trace::model::{Category, Event, FastMap, FastState, NameTable};
use trace::program::ProgramSpools;
#[cfg(feature = "parquet")]
use trace::spool::MemoryLimit;
use trace::spool::{Spool, SpoolRecord};
use trace::steps::is_host_annotation;

/// Work whose launch has not its number as its correlation: that of CANN, which connections and arrows lead to.
#[derive(Clone, Copy, Debug)]
struct LinkedWork {
    number: i64,
    start: i64,
}

impl SpoolRecord<2> for LinkedWork {
    fn to_words(self) -> [i64; 2] {
        [self.number, self.start]
    }

    fn from_words([number, start]: [i64; 2]) -> Self {
        Self { number, start }
    }
}

impl LinkedWork {
    /// The key of its module: a hash of all that its launch is found by.
    fn key(self) -> i64 {
        FastState::default().hash_one((self.number, self.start)) as i64
    }
}

/// Returns the key by which the module of work on a device is found; `None` without a correlation and a start.
#[cfg(feature = "parquet")]
pub(crate) fn module_key(event: &Event<'_>) -> Option<i64> {
    let linked = |start| LinkedWork { number: number_of_work(event), start }.key();
    event.correlation.or_else(|| event.start.map(linked))
}

/// Launches, work and the ranges of modules of one rank.
pub(crate) struct ModuleSpools {
    program: ProgramSpools,
    threads: HostThreads,
    launches: LaunchSpools,
    work: Spool<LinkedWork, 2>,
}

impl ModuleSpools {
    /// Without any yet.
    #[cfg(feature = "parquet")]
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self {
            program: ProgramSpools::new(memory),
            threads: HostThreads::default(),
            launches: LaunchSpools::new(memory),
            work: Spool::new(memory),
        }
    }

    /// Keeps a launch, work, or a range that may have launches in it: as `traceq sum --by module` does.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn take(&mut self, event: &Event<'_>, names: &mut NameTable) -> io::Result<()> {
        if self.launches.take_arrow(event, |event| self.threads.number_of(event))? {
            return Ok(());
        }
        let Some((start, end)) = event.plausible_span() else { return Ok(()) };
        if event.category.is_on_device() {
            return match event.correlation {
                Some(_) => Ok(()),
                None => self.work.push(LinkedWork { number: number_of_work(event), start }),
            };
        }
        if !is_host_annotation(event.cat.raw) {
            return Ok(());
        }
        match event.category {
            Category::Runtime => match event.correlation {
                Some(correlation) => {
                    self.program.add_launch(correlation, (self.threads.number_of(event), start))
                }
                None => Ok(()),
            },
            Category::Api => {
                let thread = self.threads.number_of(event);
                self.launches.take_call(event, start, |_| thread)
            }
            Category::Python | Category::CpuOp => {
                let thread = self.threads.number_of(event);
                let text = event.name.decode();
                let is_module = event.category == Category::Python && text.starts_with("nn.Module: ");
                let name = if is_module { names.intern(event.name) } else { 0 };
                self.program.take_range(event, (thread, name), &text, (start, end))
            }
            _ => Ok(()),
        }
    }

    /// The number of the name of the module of each piece of work that has one, by its [`module_key`].
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn find(self) -> io::Result<FastMap<i64, u32>> {
        let Self { mut program, launches, work, .. } = self;
        launches.link(
            work,
            |work| (work.number, work.start),
            |work, origin| match origin.request {
                Some(request) => program.add_launch(work.key(), (request.thread, request.at)),
                None => Ok(()),
            },
        )?;
        program.find_modules()
    }
}
