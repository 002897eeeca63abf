//! The texts that stay, and the pseudonyms of the others.

use serde_json::Value;
use trace::model::{
    Category, Event, EventId, FastMap, KernelClass, classify_kernel_name, decides_rows, is_collective_call,
    is_lane_name, rank_in_text, split_merge_label, thread_decides_rows,
};
use trace::read::parse_arguments;
use trace::steps::StepNames;

use super::known::{
    has_known_texts, is_device_label, is_harmless, is_known_backward, is_known_category, is_known_flow,
    is_known_metadata, is_known_operator, is_known_optimizer,
};
use crate::timeline::OwnedId;

/// Texts and their numbers.
pub(super) struct Pseudonyms {
    /// Kernels get another name, too.
    kernels: bool,
    numbers: FastMap<(&'static str, String), u64>,
    counts: FastMap<&'static str, u64>,
    steps: StepNames,
}

impl Pseudonyms {
    pub(super) fn new(kernels: bool) -> Self {
        let (numbers, counts) = (FastMap::default(), FastMap::default());
        Self { kernels, numbers, counts, steps: StepNames::default() }
    }

    /// The name of an event: its own, if it identifies nothing.
    pub(super) fn name_of(&mut self, event: &Event<'_>) -> String {
        let name = event.name.decode();
        match event.category {
            _ if name.is_empty() => name.into_owned(),
            _ if event.phase == b'M' && is_known_metadata(&name) => name.into_owned(),
            _ if event.phase == b'M' => self.replace("metadata", &name),
            Category::Flow if is_known_flow(&name) => name.into_owned(),
            Category::Flow => self.replace("flow", &name),
            // What makes them a lane or a step.
            Category::Marker if event.of_process && is_lane_name(&name) => name.into_owned(),
            Category::Marker | Category::Other if event.step_number.is_some() => name.into_owned(),
            _ if self.stays(event.category, &name) => name.into_owned(),
            Category::Python => self.replace("python", &name),
            Category::CpuOp => self.operator(&name),
            _ if name.starts_with("Optimizer.") => self.optimizer(&name),
            Category::Kernel => self.replace("kernel", &name),
            Category::Counter => self.replace("counter", &name),
            _ => self.replace("range", &name),
        }
    }

    fn stays(&self, category: Category, name: &str) -> bool {
        match category {
            Category::Runtime | Category::Memcpy | Category::Memset | Category::Collective => true,
            Category::Step | Category::Memory | Category::Api => true,
            Category::Kernel => !self.kernels || classify_kernel_name(name) != KernelClass::Computation,
            Category::CpuOp => is_collective_call(name) || is_known_operator(name) || is_known_backward(name),
            _ => is_collective_call(name) || self.steps.mark_of_name(name).is_some(),
        }
    }

    /// An operator that is not PyTorch's: what it is a part of, and that it is one of the way back, stays.
    fn operator(&mut self, name: &str) -> String {
        const EVALUATES: &str = "autograd::engine::evaluate_function: ";
        if let Some(function) = name.strip_prefix(EVALUATES) {
            let stays = is_known_operator(function) || is_known_backward(function);
            let function = if stays { function.to_owned() } else { self.operator(function) };
            return format!("{EVALUATES}{function}");
        }
        match name.strip_suffix("Backward").filter(|class| !class.is_empty()) {
            Some(class) => format!("{}Backward", self.replace("operator", class)),
            None => self.replace("operator", name),
        }
    }

    /// A call of an optimizer, `Optimizer.step#AdamW.step`: the class may be the user's.
    fn optimizer(&mut self, name: &str) -> String {
        let Some((call, class)) = name.split_once('#') else { return self.replace("range", name) };
        let (class, method) = class.split_once('.').unwrap_or((class, ""));
        let class =
            if is_known_optimizer(class) { class.to_owned() } else { self.replace("optimizer", class) };
        match call {
            "Optimizer.step" | "Optimizer.zero_grad" if call.ends_with(method) => {
                format!("{call}#{class}.{method}")
            }
            _ => self.replace("range", name),
        }
    }

    /// The arguments with other texts, as JSON; empty if there are none.
    pub(super) fn arguments_of(&mut self, event: &Event<'_>) -> anyhow::Result<Vec<u8>> {
        let Some(mut args) = parse_arguments(event.args) else { return Ok(Vec::new()) };
        if event.phase == b'M' && is_known_metadata(&event.name.decode()) {
            self.replace_label(event, &mut args);
        } else {
            self.replace_texts(&mut args);
        }
        Ok(serde_json::to_vec(&args)?)
    }

    /// A label of a device stays, a rank, and what makes device work of rows; the names of processes and threads do not.
    fn replace_label(&mut self, event: &Event<'_>, args: &mut Value) {
        let is_thread = event.name.raw.starts_with(b"thread");
        for value in args.as_object_mut().into_iter().flat_map(|members| members.values_mut()) {
            let Value::String(text) = value else {
                self.replace_texts(value);
                continue;
            };
            let (label, name) = split_merge_label(text);
            let new = if is_thread { self.thread_name(name) } else { self.process_name(name) };
            *text = label.map_or(new.clone(), |label| format!("{label}: {new}"));
        }
    }

    fn thread_name(&mut self, name: &str) -> String {
        if is_device_label(name) || thread_decides_rows(name) {
            name.to_owned()
        } else {
            self.replace("thread", name)
        }
    }

    fn process_name(&mut self, name: &str) -> String {
        if is_device_label(name) {
            return name.to_owned();
        }
        if decides_rows(name) {
            // The host may stand before the device.
            return match name.split_once(" /") {
                Some((host, device)) => format!("{} /{device}", self.replace("host", host)),
                None => name.to_owned(),
            };
        }
        let new = self.replace("process", name);
        rank_in_text(name).map_or(new.clone(), |rank| format!("rank {rank} {new}"))
    }

    fn replace_texts(&mut self, value: &mut Value) {
        match value {
            // Some programs spell numbers as texts, by which steps and devices are known.
            Value::String(text) if text.parse::<f64>().is_ok_and(f64::is_finite) => {}
            Value::String(text) if !text.is_empty() => *text = self.replace("text", text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace_texts(item)),
            Value::Object(members) => {
                for (key, mut value) in std::mem::take(members) {
                    self.replace_member(&key, &mut value);
                    let name = if is_harmless(&key) { key } else { self.replace("argument", &key) };
                    members.insert(name, value);
                }
            }
            _ => {}
        }
    }

    /// Replaces the texts of an argument, unless they are of a few kinds that everybody knows.
    fn replace_member(&mut self, key: &str, value: &mut Value) {
        if !has_known_texts(key) {
            return self.replace_texts(value);
        }
        match value {
            // By it, the ranks of a job are matched.
            Value::String(_) if key == "Process Group Name" => {}
            Value::String(text) if is_harmless(text) && (key != "Task Type" || is_task_type(text)) => {}
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace_member(key, item)),
            _ => self.replace_texts(value),
        }
    }

    /// The id of a flow or of an async span: numbers stay, also those in hexadecimal digits.
    pub(super) fn link_of(&mut self, id: EventId<'_>) -> OwnedId {
        let OwnedId::Text(text) = OwnedId::from(id) else { return OwnedId::from(id) };
        let (label, rest) = split_merge_label(&text);
        let digits = rest.strip_prefix("0x").unwrap_or(rest);
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let rest = if is_number { rest.to_owned() } else { self.replace("id", rest) };
        OwnedId::Text(label.map_or(rest.clone(), |label| format!("{label}: {rest}")))
    }

    /// The scope of an id.
    pub(super) fn scope_of(&mut self, event: &Event<'_>) -> String {
        let scope = event.scope.decode();
        if scope.is_empty() { String::new() } else { self.replace("scope", &scope) }
    }

    /// A process or thread: numbers stay, and of a text what it says of the rank and of the device.
    pub(super) fn id_of(&mut self, id: EventId<'_>) -> OwnedId {
        match OwnedId::from(id) {
            OwnedId::Text(text) => OwnedId::Text(self.text_id(&text)),
            other => other,
        }
    }

    fn text_id(&mut self, text: &str) -> String {
        if let (Some(label), rest) = split_merge_label(text) {
            return format!("{label}: {}", self.text_id(rest));
        }
        if is_device_label(text) || decides_rows(text) {
            return text.to_owned();
        }
        // What processes of one rank have in common: `[TP00] 83`, `83_rank1`, `node1/83`.
        if let Some((label, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let number = self.number("id", rest);
            return format!("[{}] {number}", self.rank_label(label));
        }
        if let Some(rank) = rank_in_text(text) {
            return format!("rank {rank}: {}", self.number("id", text));
        }
        let label = text.trim_end_matches(|c: char| c.is_ascii_digit());
        match &text[label.len()..] {
            own if !own.is_empty() && label.bytes().any(|b| b.is_ascii_digit()) => {
                format!("{}/{own}", self.replace("id", label))
            }
            _ => self.replace("id", text),
        }
    }

    /// The label of a rank: its own, if it is that of a place in parallel work, such as `TP00` or `DP1-TP3`.
    fn rank_label(&mut self, label: &str) -> String {
        let is_place = |part: &str| {
            let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
            (1..=3).contains(&letters.len())
                && letters.len() < part.len()
                && letters.bytes().all(|b| b.is_ascii_uppercase())
        };
        if label.split(['-', '_', ' ', ',']).all(is_place) {
            return label.to_owned();
        }
        // Without a digit that would be taken for the rank.
        let mut number = self.number("ranks", label);
        let mut letters = String::new();
        while number > 0 {
            letters.insert(0, char::from(b'a' + ((number - 1) % 26) as u8));
            number = (number - 1) / 26;
        }
        let mut numbers = label.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
        match (numbers.next(), numbers.next()) {
            (Some(rank), None) => format!("ranks {letters} {rank}"),
            _ => format!("ranks {letters}"),
        }
    }

    /// The category of an event, which may be anything.
    pub(super) fn cat_of(&mut self, event: &Event<'_>) -> String {
        let cat = event.cat.decode();
        let stays = cat.is_empty() || is_known_category(&cat);
        if stays { cat.into_owned() } else { self.replace("cat", &cat) }
    }

    /// Returns the pseudonym of a text: a word for its kind, and a number.
    fn replace(&mut self, kind: &'static str, text: &str) -> String {
        let number = self.number(kind, text);
        format!("{kind}-{number}")
    }

    fn number(&mut self, kind: &'static str, text: &str) -> u64 {
        let count = self.counts.entry(kind).or_default();
        *self.numbers.entry((kind, text.to_owned())).or_insert_with(|| {
            *count += 1;
            *count
        })
    }
}

/// Returns whether a text is in the spelling of the kinds of Ascend's tasks: `AI_CORE`, `EVENT_WAIT`.
fn is_task_type(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b' ' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(category: Category, name: &'static str, args: &'static str) -> Event<'static> {
        Event { phase: b'X', category, name: name.into(), args: args.as_bytes(), ..Event::default() }
    }

    #[test]
    fn what_analyses_need_stays_and_the_rest_gets_numbers() {
        let mut names = Pseudonyms::new(false);
        let mut of = |category, name| names.name_of(&event(category, name, ""));
        for (category, name) in [
            (Category::CpuOp, "aten::mm"),
            (Category::CpuOp, "AddmmBackward0"),
            (Category::Runtime, "cudaLaunchKernel"),
            (Category::Kernel, "gemm"),
            (Category::Step, "ProfilerStep#3"),
            (Category::Marker, "nccl:all_reduce"),
            (Category::Marker, "train_step"),
        ] {
            assert_eq!(of(category, name), name);
        }
        assert_eq!(of(Category::Python, "/home/ann/secret.py(3): f"), "python-1");
        assert_eq!(of(Category::CpuOp, "acme::op"), "operator-1");
        assert_eq!(of(Category::CpuOp, "AcmeBackward"), "operator-2Backward");
        assert_eq!(
            of(Category::CpuOp, "autograd::engine::evaluate_function: AcmeBackward"),
            "autograd::engine::evaluate_function: operator-2Backward"
        );
        assert_eq!(of(Category::Marker, "Optimizer.step#AdamW.step"), "Optimizer.step#AdamW.step");
        assert_eq!(of(Category::Marker, "Optimizer.step#Acme.step"), "Optimizer.step#optimizer-1.step");
        assert_eq!(of(Category::Python, "other"), "python-2");
        assert_eq!(of(Category::Python, "/home/ann/secret.py(3): f"), "python-1");
        let mut strict = Pseudonyms::new(true);
        assert_eq!(strict.name_of(&event(Category::Kernel, "gemm", "")), "kernel-1");
        let nccl = event(Category::Kernel, "ncclDevKernel_AllReduce_Sum_f32_RING_LL", "");
        assert!(strict.name_of(&nccl).starts_with("nccl"));
    }

    #[test]
    fn texts_in_arguments_go_and_numbers_stay() {
        let mut names = Pseudonyms::new(false);
        let args = r#"{"Call stack":"/home/ann/a.py","n":1,"Input type":["float"],"step_num":"4","x":{"host":["n1","n1"]}}"#;
        let written = names.arguments_of(&event(Category::CpuOp, "aten::mm", args)).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert_eq!(
            text,
            r#"{"Call stack":"text-1","Input type":["float"],"n":1,"step_num":"4","x":{"host":["text-2","text-2"]}}"#
        );
    }

    #[test]
    fn names_that_decide_what_rows_are_stay() {
        let mut names = Pseudonyms::new(false);
        let lane = Event { of_process: true, ..event(Category::Marker, "Communication(Not Overlapped)", "") };
        assert_eq!(names.name_of(&lane), "Communication(Not Overlapped)");
        assert_eq!(names.name_of(&Event { of_process: false, ..lane }), "range-1");
        let step = Event { step_number: Some(4), ..event(Category::Other, "train", "") };
        assert_eq!(names.name_of(&step), "train");
        assert_eq!(names.name_of(&event(Category::Flow, "torch_to_npu", "")), "torch_to_npu");
        assert_eq!(names.name_of(&event(Category::Flow, "secret", "")), "flow-1");
        let mut label = |what: &'static str, name: &str| {
            let args = serde_json::json!({ "name": name }).to_string();
            let event = Event { phase: b'M', name: what.into(), args: args.as_bytes(), ..Event::default() };
            let args: Value = serde_json::from_slice(&names.arguments_of(&event).unwrap()).unwrap();
            args["name"].as_str().unwrap().to_owned()
        };
        for (what, name, expected) in [
            ("process_name", "Ascend Hardware", "Ascend Hardware"),
            ("process_name", "rank 3: Overlap Analysis", "rank 3: Overlap Analysis"),
            ("process_name", "/device:GPU:0", "/device:GPU:0"),
            ("process_name", "node7.acme /device:GPU:0", "host-1 /device:GPU:0"),
            ("process_name", "trace 1: node7.acme /host:CPU", "trace 1: host-1 /host:CPU"),
            ("process_name", "Communication team", "process-1"),
            ("process_name", "trainer rank_2", "rank 2 process-2"),
            ("thread_name", "Stream #13(Compute)", "Stream #13(Compute)"),
            ("thread_name", "XLA Ops", "XLA Ops"),
            ("thread_name", "ann's thread", "thread-1"),
        ] {
            assert_eq!(label(what, name), expected);
        }
    }

    #[test]
    fn ids_keep_the_rank() {
        let mut names = Pseudonyms::new(false);
        let mut of = |id: &str| names.id_of(EventId::Text(id.into())).to_string();
        for (id, expected) in [
            ("[TP00] 83", "[TP00] 1"),
            ("[TP01] 83", "[TP01] 1"),
            ("[TP01] 0", "[TP01] 2"),
            ("[acme-node-3] 7", "[ranks a 3] 3"),
            ("83_rank1", "rank 1: 4"),
            ("rank 1: node2/7", "rank 1: id-5/7"),
            ("node2/8", "id-5/8"),
            ("CUDA functions", "CUDA functions"),
            ("Spans", "id-6"),
        ] {
            assert_eq!(of(id), expected, "{id}");
        }
    }
}
