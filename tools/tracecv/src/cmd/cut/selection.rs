//! Which events belong to a part.

use trace::model::Event;

use super::SelectionArgs;
use crate::links::EventLinks;
use crate::survey::TraceSurvey;

/// Parses `12` or `12-14`.
pub(super) fn parse_steps(text: &str) -> Result<(i64, i64), String> {
    let wrong = || "expected steps such as 12 or 12-14".to_owned();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first > last { Err(wrong()) } else { Ok((first, last)) }
}

/// The conditions on an event.
pub(super) struct Selection<'a> {
    args: &'a SelectionArgs,
    survey: &'a TraceSurvey,
    pub(super) links: &'a EventLinks,
}

impl<'a> Selection<'a> {
    pub(super) fn new(args: &'a SelectionArgs, survey: &'a TraceSurvey, links: &'a EventLinks) -> Self {
        Self { args, survey, links }
    }

    /// Whether an event belongs to the part. Metadata belongs to each; an end without a begin to none; of a pair or a
    /// flow, all events or none.
    pub(super) fn has_event(&self, event: &Event<'_>) -> bool {
        if event.phase == b'M' {
            return true;
        }
        if self.links.is_stray_end(event) {
            return false;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_one_or_a_range() {
        assert_eq!(parse_steps("12"), Ok((12, 12)));
        assert_eq!(parse_steps("12-14"), Ok((12, 14)));
        for bad in ["", "a", "3-1", "1-", "-"] {
            assert!(parse_steps(bad).is_err(), "{bad}");
        }
    }
}
