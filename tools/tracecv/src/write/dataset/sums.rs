//! How the time of each step divides on each device, for the table of steps: as `traceq sum` divides it, over the work
//! that the table of kernels has for the step.

use std::io;

use trace::model::{Category, Event};
use trace::split::{Split, SplitSweep};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};

use crate::survey::TraceSurvey;

/// In the place of a device that is not known.
const NO_DEVICE: i64 = i64::MIN;

/// Work of a step on a device.
#[derive(Clone, Copy)]
struct StepWork {
    step: usize,
    device: i64,
    start: i64,
    end: i64,
    category: Category,
}

impl SpoolRecord<5> for StepWork {
    fn to_words(self) -> [i64; 5] {
        [self.step as i64, self.device, self.start, self.end, self.category as i64]
    }

    fn from_words([step, device, start, end, category]: [i64; 5]) -> Self {
        let category = Category::ALL.get(category as usize).copied().unwrap_or_default();
        Self { step: step as usize, device, start, end, category }
    }
}

/// What a step did on one device.
#[derive(Clone, Copy)]
pub(super) struct DeviceSums {
    pub(super) device: Option<i64>,
    pub(super) events: i64,
    pub(super) split: Split,
}

/// Collects the work of the steps of a trace.
pub(super) struct StepSums {
    work: Spool<StepWork, 5>,
    memory: MemoryLimit,
}

impl StepSums {
    pub(super) fn new(memory: MemoryLimit) -> Self {
        Self { work: Spool::new(memory), memory }
    }

    /// Takes work on a device.
    ///
    /// # Errors
    /// A temporary file cannot be written.
    pub(super) fn take_event(&mut self, event: &Event<'_>, survey: &TraceSurvey) -> io::Result<()> {
        let (Some(step), Some((start, end))) = (survey.step_index_of(event), event.span()) else {
            return Ok(());
        };
        let device = event.device.unwrap_or(NO_DEVICE);
        self.work.push(StepWork { step, device, start, end, category: event.category })
    }

    /// Calls `each` for every step with its work on each device, or once without any. Nothing is left of it.
    ///
    /// # Errors
    /// What `each` or a temporary file says.
    pub(super) fn take_rows(
        &mut self,
        steps: usize,
        mut each: impl FnMut(usize, Option<DeviceSums>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let work = std::mem::replace(&mut self.work, Spool::new(self.memory));
        let mut sorted = work.into_sorted(|work| (work.step, work.device, work.start, work.end))?;
        let mut next = sorted.next_record()?;
        for step in 0..steps {
            let mut idle = true;
            while let Some(first) = next.filter(|work| work.step == step) {
                let (mut sweep, mut events) = (SplitSweep::default(), 0);
                while let Some(work) = next.filter(|work| (work.step, work.device) == (step, first.device)) {
                    sweep.add(work.start, work.end, work.category);
                    events += 1;
                    next = sorted.next_record()?;
                }
                let device = Some(first.device).filter(|device| *device != NO_DEVICE);
                let split = sweep.finish().unwrap_or_default();
                each(step, Some(DeviceSums { device, events, split }))?;
                idle = false;
            }
            if idle {
                each(step, None)?;
            }
        }
        Ok(())
    }
}
