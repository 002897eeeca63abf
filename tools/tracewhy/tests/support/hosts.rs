//! Made-up jobs of processes without devices, which run operators and meet in `gloo:all_reduce`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::push_span;
use super::random::Random;

/// What one rank has more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostFault {
    None,
    /// Matrix products take longer by this many percent.
    Compute(i64),
    /// Once in each step some operator, seldom the same, is held up for so many nanoseconds.
    Stall(i64),
    /// The same of an operator that computes nothing, in each step.
    Item(i64),
    /// Between operators, nothing happens.
    Pause(i64),
}

const PRODUCT: i64 = 400_000;
const PRODUCTS: usize = 12;
const STEPS: usize = 8;

/// Writes one file for each of some ranks, of which `bad` has the fault.
pub(crate) fn write_hosts(dir: &Path, seed: u64, ranks: usize, bad: usize, fault: HostFault) -> Vec<PathBuf> {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(3));
    let mut texts: Vec<String> = vec![String::new(); ranks];
    let mut at = vec![1_000_000_i64; ranks];
    const PLACE: &str = r#""pid":10,"tid":10"#;
    for step in 0..STEPS {
        let begins = at.clone();
        for rank in 0..ranks {
            let fault = if rank == bad { fault } else { HostFault::None };
            let (text, at) = (&mut texts[rank], &mut at[rank]);
            let held_up = random.below(4 * PRODUCTS as i64) as usize;
            for product in 0..PRODUCTS {
                // `aten::linear` calls the others, which follow each other.
                let begin = *at;
                for (call, name) in
                    ["aten::t", "aten::addmm", "aten::relu", "aten::item"].into_iter().enumerate()
                {
                    let usual = [3_000, PRODUCT, 30_000, 2_000][call];
                    let more = match fault {
                        HostFault::Compute(percent) if call == 1 => usual * percent / 100,
                        HostFault::Stall(time) if product * 4 + call == held_up => time,
                        HostFault::Item(time) if product == 0 && call == 3 => time,
                        _ => 0,
                    };
                    let time = random.about(usual) + more;
                    push_span(text, "cpu_op", name, PLACE, (*at + 500, *at + 500 + time), "");
                    *at += time + 1_000;
                }
                push_span(text, "cpu_op", "aten::linear", PLACE, (begin, *at), "");
                match fault {
                    HostFault::Pause(time) if product == 5 => *at += time,
                    _ => *at += 2_000,
                }
            }
        }
        let end = at.iter().max().copied().unwrap_or(0) + random.about(200_000);
        for (rank, text) in texts.iter_mut().enumerate() {
            push_span(text, "user_annotation", "gloo:all_reduce", PLACE, (at[rank], end), "");
            push_span(
                text,
                "user_annotation",
                &format!("ProfilerStep#{step}"),
                PLACE,
                (begins[rank], end),
                "",
            );
            at[rank] = end + 5_000;
        }
    }
    let write = |(rank, text): (usize, &String)| {
        let path = dir.join(format!("rank{rank}.json"));
        let mut whole = String::new();
        write!(
            whole,
            r#"{{"schemaVersion":1,"distributedInfo":{{"backend":"gloo","rank":{rank},"world_size":{ranks}}},"traceEvents":[
{{"ph":"M","name":"process_name","pid":10,"tid":0,"ts":0,"args":{{"name":"python"}}}}
{text}]}}"#
        )
        .unwrap();
        std::fs::write(&path, whole).unwrap();
        path
    };
    texts.iter().enumerate().map(write).collect()
}
