//! Lets a job run again with some of it for free: every node starts as soon as what it waited for is done, with the same
//! delay as it had after the last of that.

use super::graph::PathGraph;

/// How much earlier each node ends if an item takes no time: by number of the node, in nanoseconds.
pub(crate) fn replay_without(graph: &PathGraph, order: &[u32], item: u32) -> Vec<i64> {
    // By how much starts and ends move; never later.
    let mut starts = vec![0_i64; graph.nodes.len()];
    let mut ends = vec![0_i64; graph.nodes.len()];
    for &number in order {
        let Some(node) = graph.nodes.get(number as usize) else { continue };
        let waits = graph.waits(node);
        let recorded = waits.iter().map(|wait| wait.at).max();
        let moved = waits.iter().map(|wait| {
            let by = match wait.offset {
                None => ends[wait.node as usize],
                Some(offset) => {
                    let free = graph.nodes.get(wait.node as usize).is_some_and(|n| n.item == item);
                    starts[wait.node as usize] - if free { offset.max(0) } else { 0 }
                }
            };
            wait.at.saturating_add(by)
        });
        let shift = match (recorded, moved.max()) {
            (Some(recorded), Some(moved)) => moved - recorded,
            _ => 0,
        };
        starts[number as usize] = shift;
        let own = if node.item == item { node.end - node.start } else { 0 };
        ends[number as usize] = shift - own;
    }
    ends
}

/// The nodes in an order in which each comes after all that it waits for. Nodes that wait for each other, of damaged traces,
/// come in the order of their numbers.
pub(crate) fn order_nodes(graph: &PathGraph) -> Vec<u32> {
    let mut missing: Vec<u32> = vec![0; graph.nodes.len()];
    // What waits for a node, as lists in two arrays: the first of each, and the next.
    let mut first: Vec<u32> = vec![u32::MAX; graph.nodes.len()];
    let mut next: Vec<(u32, u32)> = Vec::new();
    for (number, node) in (0_u32..).zip(&graph.nodes) {
        for wait in graph.waits(node) {
            missing[number as usize] += 1;
            let list = &mut first[wait.node as usize];
            next.push((number, *list));
            *list = (next.len() - 1) as u32;
        }
    }
    let mut order: Vec<u32> = Vec::with_capacity(graph.nodes.len());
    let mut done = vec![false; graph.nodes.len()];
    let mut at = 0;
    for begin in 0..graph.nodes.len() {
        if missing[begin] == 0 && !done[begin] {
            done[begin] = true;
            order.push(begin as u32);
        }
    }
    let mut rest = 0;
    loop {
        while let Some(&number) = order.get(at) {
            at += 1;
            let mut entry = first[number as usize];
            while let Some(&(waiting, after)) = next.get(entry as usize) {
                let slot = &mut missing[waiting as usize];
                *slot = slot.saturating_sub(1);
                if *slot == 0 && !done[waiting as usize] {
                    done[waiting as usize] = true;
                    order.push(waiting);
                }
                entry = after;
            }
        }
        while rest < done.len() && done[rest] {
            rest += 1;
        }
        if rest == done.len() {
            return order;
        }
        done[rest] = true;
        order.push(rest as u32);
    }
}
