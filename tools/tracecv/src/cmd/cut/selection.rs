//! The events that belong to a part.

use trace::model::Event;

use super::SelectionArgs;
use crate::links::EventLinks;
use crate::survey::SurveyedTrace;

/// The conditions on an event.
pub(super) struct Selection<'a> {
    args: &'a SelectionArgs,
    pub(super) survey: &'a SurveyedTrace,
    pub(super) links: &'a EventLinks,
}

impl<'a> Selection<'a> {
    pub(super) fn new(args: &'a SelectionArgs, survey: &'a SurveyedTrace, links: &'a EventLinks) -> Self {
        Self { args, survey, links }
    }

    /// Whether an event belongs to the part. Metadata belongs to each; an end without a begin to none; of a pair or a
    /// flow, all events or none.
    pub(super) fn has_event(&self, event: &Event<'_>) -> bool {
        event.phase == b'M' || !self.links.is_stray_end(event) && self.meets_conditions(event)
    }

    /// Whether an event that meets the conditions is left out: an end without a begin would end something else.
    pub(super) fn leaves_out(&self, event: &Event<'_>) -> bool {
        event.phase != b'M' && self.links.is_stray_end(event) && self.meets_conditions(event)
    }

    fn meets_conditions(&self, event: &Event<'_>) -> bool {
        let Some((start, end)) = self.links.span_of(event) else { return self.has_no_condition() };
        self.args.from_ns.is_none_or(|from| end.max(start.saturating_add(1)) > from)
            && self.args.to_ns.is_none_or(|to| start < to)
            && self.args.name.as_ref().is_none_or(|part| self.links.name_of(event).contains(part.as_str()))
            && self.args.steps.is_none_or(|(first, last)| {
                let begin = Event { start: Some(start), ..*event };
                self.survey.step_of(&begin).is_some_and(|step| (first..=last).contains(&step.number))
            })
    }

    fn has_no_condition(&self) -> bool {
        let SelectionArgs { from_ns, to_ns, steps, name } = self.args;
        from_ns.is_none() && to_ns.is_none() && steps.is_none() && name.is_none()
    }
}
