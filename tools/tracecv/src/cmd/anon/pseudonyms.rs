//! Which texts stay, and what stands in the place of others.

use serde_json::Value;
use trace::model::{
    Category, Event, EventId, FastMap, KernelClass, classify_kernel_name, is_collective_call, rank_in_text,
};
use trace::read::parse_arguments;
use trace::steps::StepNames;

use crate::timeline::OwnedId;

/// Arguments whose texts are of a few kinds that everybody knows.
const KNOWN_TEXTS: [&str; 22] = [
    "Input type",
    "Input Dims",
    "Input Strides",
    "Collective name",
    "Process Group Name",
    "Process Group Ranks",
    "In split size",
    "Out split size",
    "dtype",
    "kind",
    "src",
    "dst",
    "cuda_sync_kind",
    "Task Type",
    "stream",
    "kernel_backend",
    "Device Type",
    "grid",
    "block",
    "correlation",
    "External id",
    "Seq",
];

/// What names of operators begin with that PyTorch and its extensions have (pytorch/pytorch `aten/src/ATen/native`,
/// `torch/csrc/autograd`).
const KNOWN_OPERATORS: [&str; 12] = [
    "aten::",
    "prim::",
    "prims::",
    "c10d::",
    "_c10d_functional::",
    "autograd::engine::evaluate_function: ",
    "torch::autograd::",
    "cudnn::",
    "mkldnn::",
    "quantized::",
    "inductor::",
    "npu::",
];

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
            _ if matches!(event.phase, b'M' | b's' | b't' | b'f') || name.is_empty() => name.into_owned(),
            _ if self.stays(event.category, &name) => name.into_owned(),
            Category::Python => self.replace("python", &name),
            Category::CpuOp => self.replace("operator", &name),
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
            Category::CpuOp => {
                is_collective_call(name)
                    || KNOWN_OPERATORS.iter().any(|known| name.starts_with(known))
                    || name.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with("Backward")
            }
            _ => {
                is_collective_call(name)
                    || self.steps.mark_of_name(name).is_some()
                    || name.starts_with("Optimizer.")
            }
        }
    }

    /// The arguments with other texts, as JSON; empty if there are none.
    pub(super) fn arguments_of(&mut self, event: &Event<'_>) -> anyhow::Result<Vec<u8>> {
        let Some(mut args) = parse_arguments(event.args) else { return Ok(Vec::new()) };
        if event.phase == b'M' {
            self.replace_label(event, &mut args);
        } else {
            self.replace_texts(&mut args);
        }
        Ok(serde_json::to_vec(&args)?)
    }

    /// A label of a device stays, and a rank; the names of processes and threads do not.
    fn replace_label(&mut self, event: &Event<'_>, args: &mut Value) {
        let kind = if event.name.raw.starts_with(b"thread") { "thread" } else { "process" };
        for value in args.as_object_mut().into_iter().flat_map(|members| members.values_mut()) {
            let Value::String(text) = value else { continue };
            let device =
                ["CPU", "GPU", "NPU", "stream", "Stream", "Ascend Hardware", "CANN", "HCCL", "Communication"];
            if device.iter().any(|known| text.starts_with(known)) || text == "Overlap Analysis" {
                continue;
            }
            let rank = rank_in_text(text);
            let name = self.replace(kind, text);
            *text = rank.map_or(name.clone(), |rank| format!("rank {rank} {name}"));
        }
    }

    fn replace_texts(&mut self, value: &mut Value) {
        match value {
            Value::String(text) if !text.is_empty() => *text = self.replace("text", text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace_texts(item)),
            Value::Object(members) => {
                for (key, value) in members {
                    if !KNOWN_TEXTS.contains(&key.as_str()) {
                        self.replace_texts(value);
                    }
                }
            }
            _ => {}
        }
    }

    /// A process or thread: numbers stay.
    pub(super) fn id_of(&mut self, id: EventId<'_>) -> OwnedId {
        match OwnedId::from(id) {
            OwnedId::Text(text) if !text.starts_with("stream") => OwnedId::Text(self.replace("id", &text)),
            other => other,
        }
    }

    /// What stands in the place of a text: a word for its kind, and a number.
    fn replace(&mut self, kind: &'static str, text: &str) -> String {
        let count = self.counts.entry(kind).or_default();
        let number = *self.numbers.entry((kind, text.to_owned())).or_insert_with(|| {
            *count += 1;
            *count
        });
        format!("{kind}-{number}")
    }
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
        let args = r#"{"Call stack":"/home/ann/a.py","n":1,"Input type":["float"],"x":{"host":["n1","n1"]}}"#;
        let written = names.arguments_of(&event(Category::CpuOp, "aten::mm", args)).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert_eq!(
            text,
            r#"{"Call stack":"text-1","Input type":["float"],"n":1,"x":{"host":["text-2","text-2"]}}"#
        );
    }
}
