//! Collectives and transfers: what kind they are, among whom, of what size, and which calls of different ranks are one.

use std::hash::BuildHasher;

use serde_json::Value;
use trace::model::{Event, FastMap, FastState};
use trace::read::{RawValue, find_argument, parse_arguments};

/// The kind of a collective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CollectiveKind {
    AllReduce,
    AllGather,
    ReduceScatter,
    AllToAll,
    Broadcast,
    Reduce,
    Gather,
    Scatter,
    Barrier,
    /// To the experts of a mixture.
    Dispatch,
    /// Back from the experts.
    Combine,
    /// From one rank to another.
    SendReceive,
    #[default]
    Unknown,
}

/// Parts of names, in lower case and without `_` and `-`; the first that matches counts. Names as NCCL, RCCL, HCCL,
/// `c10d` and XLA write them.
const NAMES: [(&str, CollectiveKind); 19] = [
    // A barrier of NCCL is an all-reduce of one element.
    ("allreducebarrier", CollectiveKind::Barrier),
    ("reducescatter", CollectiveKind::ReduceScatter),
    ("allreduce", CollectiveKind::AllReduce),
    ("allgather", CollectiveKind::AllGather),
    ("alltoall", CollectiveKind::AllToAll),
    ("all2all", CollectiveKind::AllToAll),
    ("sendrecv", CollectiveKind::SendReceive),
    ("send", CollectiveKind::SendReceive),
    ("recv", CollectiveKind::SendReceive),
    ("receive", CollectiveKind::SendReceive),
    ("collectivepermute", CollectiveKind::SendReceive),
    ("broadcast", CollectiveKind::Broadcast),
    ("barrier", CollectiveKind::Barrier),
    ("dispatch", CollectiveKind::Dispatch),
    ("combine", CollectiveKind::Combine),
    ("allscatter", CollectiveKind::Unknown),
    ("scatter", CollectiveKind::Scatter),
    ("gather", CollectiveKind::Gather),
    ("reduce", CollectiveKind::Reduce),
];

impl CollectiveKind {
    /// Determines the kind by the name of a kernel, of a range, or by the argument `Collective name`.
    pub(crate) fn of_name(name: &str) -> Self {
        let plain: String =
            name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect();
        NAMES.iter().find(|(part, _)| plain.contains(part)).map_or(Self::Unknown, |(_, kind)| *kind)
    }

    /// All of them.
    const ALL: [Self; 13] = [
        Self::AllReduce,
        Self::AllGather,
        Self::ReduceScatter,
        Self::AllToAll,
        Self::Broadcast,
        Self::Reduce,
        Self::Gather,
        Self::Scatter,
        Self::Barrier,
        Self::Dispatch,
        Self::Combine,
        Self::SendReceive,
        Self::Unknown,
    ];

    /// Parses the name in records.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AllReduce => "all_reduce",
            Self::AllGather => "all_gather",
            Self::ReduceScatter => "reduce_scatter",
            Self::AllToAll => "all_to_all",
            Self::Broadcast => "broadcast",
            Self::Reduce => "reduce",
            Self::Gather => "gather",
            Self::Scatter => "scatter",
            Self::Barrier => "barrier",
            Self::Dispatch => "dispatch",
            Self::Combine => "combine",
            Self::SendReceive => "send_receive",
            Self::Unknown => "unknown",
        }
    }

    /// No rank can leave it before the last has entered it.
    pub(crate) fn is_symmetric(self) -> bool {
        matches!(
            self,
            Self::AllReduce
                | Self::AllGather
                | Self::ReduceScatter
                | Self::AllToAll
                | Self::Barrier
                | Self::Dispatch
                | Self::Combine
        )
    }

    /// The factor of the bandwidth of an algorithm to compare it with that of the wires (NVIDIA/nccl-tests
    /// `doc/PERFORMANCE.md`), for a group of `n`.
    pub(crate) fn bus_factor(self, n: u64) -> f64 {
        let n = n.max(1) as f64;
        match self {
            Self::AllReduce => 2.0 * (n - 1.0) / n,
            Self::AllGather
            | Self::ReduceScatter
            | Self::AllToAll
            | Self::Gather
            | Self::Scatter
            | Self::Dispatch
            | Self::Combine => (n - 1.0) / n,
            Self::Broadcast | Self::Reduce | Self::SendReceive | Self::Barrier | Self::Unknown => 1.0,
        }
    }
}

/// Calls that are alike: of one kind, size and group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallFamily {
    pub(crate) kind: CollectiveKind,
    /// Name of the process group, as the trace gives it.
    pub(crate) group: String,
    /// Its ranks, as the trace lists them; groups of one name may differ.
    pub(crate) members: String,
    /// Ranks in the group.
    pub(crate) group_size: Option<u64>,
    /// The size by which nccl-tests counts: of the whole data of one rank.
    pub(crate) bytes: Option<u64>,
    /// From which rank to which, of a transfer.
    pub(crate) pair: Option<(i64, i64)>,
}

/// A call, before it is known what else there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallDescription {
    pub(crate) family: CallFamily,
    /// Its number within the group, where the trace gives it.
    pub(crate) sequence: Option<i64>,
}

impl CallDescription {
    /// Describes a kernel, an operator or a range with the arguments of `record_param_comms`, or a range of `c10d` with
    /// the dimensions of its inputs. `name` is the event's.
    pub(crate) fn of_event(event: &Event<'_>, name: &str) -> Self {
        let args = CallArguments(event.args);
        let collective = args.text("Collective name").filter(|text| !text.is_empty());
        let kind = match CollectiveKind::of_name(collective.as_deref().unwrap_or(name)) {
            // Broadcasts and the like may be called by one general kernel.
            CollectiveKind::Unknown => CollectiveKind::of_name(name),
            kind => kind,
        };
        let group_size = args.number("Group size").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        let group = args.text("Process Group Name").or_else(|| group_of_hcom(name)).unwrap_or_default();
        let pair = (kind == CollectiveKind::SendReceive).then(|| args.pair(name)).flatten();
        let bytes = args.bytes(kind, group_size);
        let members = args.text("Process Group Ranks").unwrap_or_default();
        Self {
            family: CallFamily { kind, group, members, group_size, bytes, pair },
            sequence: args.number("Seq").filter(|n| *n >= 0),
        }
    }
}

/// The group in `hcom_allReduce__905_0_1` of Ascend: what stands behind the kind, before its counters.
fn group_of_hcom(name: &str) -> Option<String> {
    let (_, rest) = name.strip_prefix("hcom_")?.split_once("__")?;
    Some(rest.split('_').next()?.to_owned())
}

/// The arguments of an event.
struct CallArguments<'a>(&'a [u8]);

impl CallArguments<'_> {
    fn text(&self, name: &str) -> Option<String> {
        match find_argument(self.0, name)? {
            RawValue::Text(text) => Some(text.decode().into_owned()),
            RawValue::Number(digits) => Some(String::from_utf8_lossy(digits).into_owned()),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.trim().parse().ok()
    }

    /// From which rank to which: by arguments, or as in `send 0->3` and `recv 3<-0`.
    fn pair(&self, name: &str) -> Option<(i64, i64)> {
        let of_arguments = || {
            let (from, to) = (self.number("Src Rank")?, self.number("Dst Rank")?);
            (from >= 0 && to >= 0).then_some((from, to))
        };
        let ranks = |text: &str, arrow: &str| {
            let (a, b) = text.rsplit(' ').next()?.split_once(arrow)?;
            Some((a.parse().ok()?, b.parse().ok()?))
        };
        of_arguments()
            .or_else(|| ranks(name, "->"))
            .or_else(|| ranks(name, "<-").map(|(to, from): (i64, i64)| (from, to)))
    }

    fn bytes(&self, kind: CollectiveKind, group_size: Option<u64>) -> Option<u64> {
        if kind == CollectiveKind::Barrier {
            return None;
        }
        if let Some(bytes) = self.bytes_of_hccl(kind, group_size) {
            return Some(bytes);
        }
        let element = self.text("dtype").map(|name| element_bytes(&name));
        let count = |name| self.number(name).and_then(|n| u64::try_from(n).ok());
        if let Some(element) = element {
            let (input, output) = (count("In msg nelems"), count("Out msg nelems"));
            let elements = match kind {
                CollectiveKind::AllGather => output.or_else(|| input?.checked_mul(group_size?)).or(input),
                _ => input.or(output),
            };
            return elements?.checked_mul(element?);
        }
        let arguments = parse_arguments(self.0)?;
        let dims = arguments.get("Input Dims")?.get(0)?;
        let element = element_bytes(arguments.get("Input type")?.get(0)?.as_str()?)?;
        count_elements(dims)?.checked_mul(element)
    }
}

impl CallArguments<'_> {
    /// What `count` and `data_type` of Ascend come to. The former is what a call of HCCL is given (`hccl.h` of CANN): elements of
    /// the whole data, or of the part of one rank.
    fn bytes_of_hccl(&self, kind: CollectiveKind, group_size: Option<u64>) -> Option<u64> {
        let element = element_bytes(&self.text("data_type")?)?;
        let count = self.number("count").and_then(|n| u64::try_from(n).ok())?;
        let parts = match kind {
            CollectiveKind::AllReduce
            | CollectiveKind::Broadcast
            | CollectiveKind::Reduce
            | CollectiveKind::SendReceive => 1,
            CollectiveKind::AllGather
            | CollectiveKind::ReduceScatter
            | CollectiveKind::AllToAll
            | CollectiveKind::Gather
            | CollectiveKind::Scatter => group_size?,
            _ => return None,
        };
        count.checked_mul(parts)?.checked_mul(element)
    }
}

/// The product of a list of dimensions, or the sum of those of a list of tensors.
fn count_elements(dims: &Value) -> Option<u64> {
    let list = dims.as_array()?;
    if list.iter().any(Value::is_array) {
        return list.iter().map(count_elements).try_fold(0_u64, |sum, n| sum.checked_add(n?));
    }
    list.iter().map(Value::as_u64).try_fold(1_u64, |product, n| product.checked_mul(n?))
}

/// Bytes of an element, by the names of `c10::ScalarType` and of its C++ types, and of HCCL.
fn element_bytes(name: &str) -> Option<u64> {
    let name = name.rsplit("::").next().unwrap_or(name).to_ascii_lowercase();
    Some(match name.as_str() {
        "byte" | "char" | "bool" | "unsigned char" | "signed char" | "int8" | "uint8" => 1,
        _ if name.starts_with("float8") || name.starts_with("fp8") || name.starts_with("hif8") => 1,
        "half" | "bfloat16" | "short" | "fp16" | "bfp16" | "float16" | "int16" | "uint16" => 2,
        "int" | "float" | "fp32" | "float32" | "int32" | "uint32" => 4,
        "long" | "double" | "long int" | "fp64" | "float64" | "int64" | "uint64" | "complexfloat" => 8,
        "int128" => 16,
        _ => return None,
    })
}

/// Where a call stands among those that may be one on several ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallPlace {
    /// Number of what may be one call, of the job.
    pub(crate) matching: u32,
    /// Its number, or that of its step, or `i64::MIN`.
    pub(crate) place: i64,
    /// How many there are of this place so far.
    pub(crate) count: u64,
    /// `place` is the number that the trace gives.
    pub(crate) numbered: bool,
}

impl CallPlace {
    /// The key that is the same on all ranks that take part.
    pub(crate) fn key(&self) -> u64 {
        let Self { matching, place, count, numbered } = *self;
        FastState::default().hash_one((matching, place, count, numbered))
    }
}

/// The families of a job, by number; and the sets of them whose calls may be one.
#[derive(Debug, Default)]
pub(crate) struct FamilyTable {
    numbers: FastMap<CallFamily, u32>,
    families: Vec<CallFamily>,
}

impl FamilyTable {
    /// The number of a family.
    pub(crate) fn intern(&mut self, family: &CallFamily) -> u32 {
        if let Some(&number) = self.numbers.get(family) {
            return number;
        }
        let number = u32::try_from(self.families.len()).unwrap_or(u32::MAX);
        self.numbers.insert(family.clone(), number);
        self.families.push(family.clone());
        number
    }

    /// The number of what may be one call on several ranks: sizes may differ, as they do of an uneven all-to-all.
    pub(crate) fn intern_match(&mut self, family: &CallFamily) -> u32 {
        self.intern(&CallFamily { bytes: None, group_size: None, ..family.clone() })
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CallFamily> {
        self.families.iter()
    }

    /// The family of a number.
    pub(crate) fn get(&self, number: u32) -> &CallFamily {
        static NONE: CallFamily = CallFamily {
            kind: CollectiveKind::Unknown,
            group: String::new(),
            members: String::new(),
            group_size: None,
            bytes: None,
            pair: None,
        };
        self.families.get(number as usize).unwrap_or(&NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(name: &str, args: &str) -> CallDescription {
        CallDescription::of_event(&Event { args: args.as_bytes(), ..Event::default() }, name)
    }

    #[test]
    fn kinds_are_told_by_names_of_all_libraries() {
        for (name, kind) in [
            ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "all_reduce"),
            ("ncclDevKernel_ReduceScatter_Sum_bf16_RING_LL", "reduce_scatter"),
            ("_allgather_base", "all_gather"),
            ("all_to_allv", "all_to_all"),
            ("ncclDevKernel_SendRecv", "send_receive"),
            ("hcom_allReduce__905_0_1", "all_reduce"),
            ("gloo:all_reduce", "all_reduce"),
            ("gloo:barrier", "barrier"),
            ("nccl:all_reduce_barrier", "barrier"),
            ("nccl:_reduce_oop", "reduce"),
            ("ncclDevKernel_Generic", "unknown"),
        ] {
            assert_eq!(CollectiveKind::of_name(name).name(), kind, "{name}");
        }
    }

    #[test]
    fn sizes_are_those_of_nccl_tests() {
        let of = |kind: &str, input, output| {
            let args = format!(
                r#"{{"Collective name":"{kind}","In msg nelems":{input},"Out msg nelems":{output},"Group size":4,"dtype":"BFloat16","Process Group Name":"7","Seq":3}}"#
            );
            let call = describe("ncclDevKernel_x", &args);
            assert_eq!((call.sequence, call.family.group.as_str()), (Some(3), "7"));
            call.family.bytes
        };
        assert_eq!(of("allreduce", 100, 100), Some(200));
        assert_eq!(of("_allgather_base", 25, 100), Some(200));
        assert_eq!(of("_reduce_scatter_base", 100, 25), Some(200));
        assert_eq!(of("barrier", 1, 1), None);
        let gloo = describe("gloo:all_reduce", r#"{"Input type":["float"],"Input Dims":[[10,100]]}"#);
        assert_eq!(gloo.family.bytes, Some(4000));
        let lists = describe("gloo:x", r#"{"Input type":["float"],"Input Dims":[[[2,3],[4]]]}"#);
        assert_eq!(lists.family.bytes, Some(40));
        let hccl = |name, args| describe(name, args).family.bytes;
        let args = r#"{"connection_id":1175,"data_type":"FP32","alg_type":"MESH-RING","count":4097000}"#;
        assert_eq!(hccl("hcom_allReduce__586_0_1", args), Some(16_388_000));
        // A part of each rank, and how many there are is not known.
        assert_eq!(hccl("hcom_allGather__586_0_1", args), None);
        assert_eq!(hccl("hcom_broadcast__586_0_1", r#"{"data_type":"BFP16","count":8}"#), Some(16));
        assert_eq!(hccl("hcom_send__586_0_1", r#"{"data_type":"RESERVED","count":8}"#), None);
    }

    #[test]
    fn both_ends_of_a_transfer_are_one_family() {
        let send = describe("nccl:send 0->3", "{}");
        assert_eq!(send.family.pair, Some((0, 3)));
        assert_eq!(describe("nccl:recv 3<-0", "{}").family, send.family);
        let args = r#"{"Collective name":"recv","Src Rank":0,"Dst Rank":3}"#;
        assert_eq!(describe("ncclDevKernel_SendRecv", args).family.pair, Some((0, 3)));
    }

    #[test]
    fn factors_are_those_of_nccl_tests() {
        let factors = [CollectiveKind::AllReduce, CollectiveKind::AllGather, CollectiveKind::Broadcast]
            .map(|kind| kind.bus_factor(8));
        assert_eq!(factors, [1.75, 0.875, 1.0]);
    }
}
