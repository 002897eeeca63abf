//! What an event of one format must say in another, so that it is read there as what it was here.
//!
//! Rows of Ascend, JAX and TensorFlow are what their process or thread makes of them, in every format that has processes:
//! a category that the writer adds would make something else of them. Other formats know categories, devices and links
//! without spelling them as a trace in JSON does, and these are added.

use std::borrow::Cow;

use trace::model::{Category, Event, RawText};
use trace::read::{
    RawValue, category_in_json, find_argument, find_arguments, for_each_member, write_compact, write_text,
};

/// The `cat` of an event: its own, or that of libkineto where the format that it comes from knows its category by other
/// means.
pub(crate) fn spell_cat<'a>(event: &Event<'a>) -> RawText<'a> {
    if !event.text.is_empty() || event.of_process || event.phase == b'M' {
        return event.cat;
    }
    let known = category_in_json(event);
    let same = known == event.category || known.is_on_device() && event.category.is_on_device();
    let is_range = |category| matches!(category, Category::Marker | Category::Other | Category::Step);
    if same || !event.cat.is_empty() && is_range(known) && is_range(event.category) {
        return event.cat;
    }
    match spell_category(event) {
        "" => event.cat,
        spelled => spelled.into(),
    }
}

/// The spelling of libkineto, by which every reader of PyTorch's traces knows a category.
fn spell_category(event: &Event<'_>) -> &'static str {
    match event.category {
        Category::Marker if event.device.is_some() => "gpu_user_annotation",
        Category::Step | Category::Marker => "user_annotation",
        Category::CpuOp => "cpu_op",
        Category::Python => "python_function",
        Category::Runtime => "cuda_runtime",
        Category::Kernel => "kernel",
        Category::Memcpy => "gpu_memcpy",
        Category::Memset => "gpu_memset",
        Category::Collective => "collective_comm",
        Category::Memory => "cpu_instant_event",
        // Those without one stand in a process of their own, `CANN`.
        Category::Api | Category::Counter | Category::Flow | Category::Other => "",
    }
}

/// The arguments of an event, and with them the numbers that readers look for there: those that the event has by other
/// means. `None` if these say it all.
pub(crate) fn complete_numbers(event: &Event<'_>) -> Option<Vec<u8>> {
    if matches!(event.phase, b'M' | b'E' | b'e' | b's' | b't' | b'f') {
        return None;
    }
    let of_event = |number: Option<i64>| number.filter(|_| !event.of_process);
    let numbers: [(&[&str], Option<i64>); 6] = [
        (&["correlation", "correlation_id"], event.correlation),
        (&["External id", "external id"], event.external),
        (&["device"], of_event(event.device)),
        (&["stream", "stream_id"], of_event(event.stream)),
        (&["Ev Idx"], event.sequence),
        (&["step_num"], event.step_number),
    ];
    if !event.text.is_empty() && numbers.iter().all(|(_, number)| number.is_none()) {
        return None;
    }
    let values = find_arguments(event.args, KEYS);
    let value_of = |key: &str| KEYS.iter().position(|known| *known == key).and_then(|i| values[i]);
    let stated = |keys: &[&str]| keys.iter().find_map(|key| number_of(value_of(key)?));
    let mut missing = Vec::new();
    for (keys, number) in numbers {
        if let Some(number) = number.filter(|number| stated(keys) != Some(*number)) {
            missing.push((keys, Added::Number(number)));
        }
    }
    // A number that ties nothing, as 0 of Nsight Systems, would tie everything that has it.
    if event.text.is_empty() && event.correlation.is_none() && stated(numbers[0].0).is_some() {
        missing.push((numbers[0].0, Added::Nothing));
    }
    // Without a device, that of a trace in JSON would be the number of the process.
    let unplaced = event.text.is_empty() && event.device.is_none() && event.pid.as_number().is_some();
    let on_device = || Event { cat: spell_cat(event), category: Category::Other, ..*event };
    if unplaced && !event.of_process && category_in_json(&on_device()).is_on_device() {
        missing.push((&["device"], Added::Null));
    }
    (!missing.is_empty()).then(|| add_numbers(event, &missing))
}

/// The arguments that readers take these numbers from.
const KEYS: [&str; 9] = [
    "correlation",
    "correlation_id",
    "External id",
    "external id",
    "device",
    "stream",
    "stream_id",
    "Ev Idx",
    "step_num",
];

/// What stands in the place of an argument.
#[derive(Clone, Copy)]
enum Added {
    Number(i64),
    Null,
    Nothing,
}

/// The arguments with these numbers, in the place of others of their keys.
fn add_numbers(event: &Event<'_>, missing: &[(&[&str], Added)]) -> Vec<u8> {
    let is_replaced = |name: &[u8]| missing.iter().any(|(keys, _)| keys.iter().any(|k| k.as_bytes() == name));
    let mut to = vec![b'{'];
    let key = |to: &mut Vec<u8>, name: RawText<'_>| {
        if to.len() > 1 {
            to.push(b',');
        }
        write_text(name, to);
        to.push(b':');
    };
    let arguments = Event { text: event.args, args: b"", repaired: event.repaired, ..Event::default() };
    for_each_member(&arguments, |name, value| {
        if !is_replaced(&name.unescape()) {
            key(&mut to, name);
            write_compact(value, event.repaired, &mut to);
        }
    });
    // Looking at the members of an object leaves this one out.
    if let Some(RawValue::Nested(value @ [b'{', ..])) = find_argument(event.args, "args") {
        key(&mut to, "args".into());
        write_compact(value, event.repaired, &mut to);
    }
    for (keys, added) in missing {
        let value = match added {
            Added::Number(n) => n.to_string(),
            Added::Null => "null".to_owned(),
            Added::Nothing => continue,
        };
        key(&mut to, keys[0].into());
        to.extend_from_slice(value.as_bytes());
    }
    to.push(b'}');
    to
}

/// The whole number that an argument is, as readers take it.
fn number_of(value: RawValue<'_>) -> Option<i64> {
    let text = match value {
        RawValue::Number(digits) => Cow::Borrowed(std::str::from_utf8(digits).ok()?),
        RawValue::Text(text) => text.decode(),
        _ => return None,
    };
    let text = text.trim();
    let whole = |x: &f64| x.fract() == 0.0 && x.abs() < 1e15;
    text.parse().ok().or_else(|| text.parse::<f64>().ok().filter(whole).map(|x| x as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace::model::EventId;

    fn cat(event: Event<'_>) -> String {
        spell_cat(&Event { phase: b'X', ..event }).decode().into_owned()
    }

    #[test]
    fn a_category_is_added_only_where_nothing_else_says_it() {
        let collective = Event { category: Category::Collective, ..Event::default() };
        assert_eq!(cat(collective), "collective_comm");
        assert_eq!(cat(Event { of_process: true, ..collective }), "");
        assert_eq!(cat(Event { text: b"{}", ..collective }), "");
        // A kernel by its `cat`, a collective by its name.
        assert_eq!(cat(Event { cat: "kernel".into(), ..collective }), "kernel");
        let span =
            Event { category: Category::Marker, cat: "kernel".into(), device: Some(0), ..Event::default() };
        assert_eq!(cat(span), "gpu_user_annotation");
        let mark = Event { category: Category::Marker, cat: "mstx".into(), ..Event::default() };
        assert_eq!(cat(mark), "mstx");
        let call = Event { category: Category::Runtime, cat: "hip_api".into(), ..Event::default() };
        assert_eq!(cat(call), "cuda_runtime");
    }

    #[test]
    fn numbers_are_added_where_the_arguments_say_others() {
        let told = |event: Event<'_>| {
            let event = Event { phase: b'X', ..event };
            complete_numbers(&event).map(|args| String::from_utf8(args).unwrap())
        };
        let kernel = Event {
            category: Category::Kernel,
            cat: "kernel".into(),
            pid: EventId::Number(3),
            device: Some(0),
            correlation: Some(9),
            ..Event::default()
        };
        assert_eq!(told(Event { args: br#"{"correlation":9,"device":"0"}"#, ..kernel }), None);
        assert_eq!(told(Event { args: br#"{"correlation_id":9.0,"device":0}"#, ..kernel }), None);
        assert_eq!(
            told(Event { args: br#"{"correlation": 1, "x": 1.50}"#, ..kernel }).unwrap(),
            r#"{"x":1.50,"correlation":9,"device":0}"#
        );
        let untied = Event { correlation: None, args: br#"{"correlation":0,"device":0}"#, ..kernel };
        assert_eq!(told(untied).unwrap(), r#"{"device":0}"#);
        let unplaced = Event { device: None, correlation: None, ..kernel };
        assert_eq!(told(unplaced).unwrap(), r#"{"device":null}"#);
        assert_eq!(told(Event { of_process: true, ..kernel }).unwrap(), r#"{"correlation":9}"#);
    }
}
