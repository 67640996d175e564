//! C3, strict serializability: every account has an order of its operations (its numbers), a transfer ties two
//! of these orders together, a read stands between two numbers, and a call that was answered before another
//! one left comes before it. All that together must have no cycle.
//!
//! Real time would need an edge from every answer to every later call; a chain of one node per answer carries
//! the same meaning with a linear number of edges.

use crate::checker::{
    Condition, Verdict,
    evidence::{Evidence, Node},
    graph::{Graph, Sorted},
    reads::PlacedRead,
};

/// How many members of a cycle are named.
const NAMED_MAX: usize = 12;

/// Returns the transactions in an order that explains the history (or, if there is none, by recorded time).
pub(super) fn check(evidence: &Evidence<'_>, reads: &[PlacedRead], verdict: &mut Verdict) -> Vec<usize> {
    let (nodes, read_count) = (evidence.nodes.len(), reads.len());
    let windows: Vec<Node> = evidence.nodes.iter().copied().chain(reads.iter().map(window)).collect();
    let mut answers: Vec<(u64, usize)> = windows
        .iter()
        .enumerate()
        .filter_map(|(node, window)| window.returned_ns.map(|returned_ns| (returned_ns, node)))
        .collect();
    answers.sort_unstable();
    let timeline = nodes + read_count;
    let mut graph = Graph::new(timeline + answers.len());
    for ops in evidence.users.values() {
        for pair in ops.windows(2) {
            graph.edge(pair[0].node, pair[1].node);
        }
    }
    for (position, read) in reads.iter().enumerate() {
        add_read(evidence, read, nodes + position, &mut graph);
    }
    for (position, (_, node)) in answers.iter().enumerate() {
        graph.edge(*node, timeline + position);
        if position > 0 {
            graph.edge(timeline + position - 1, timeline + position);
        }
    }
    for (node, window) in windows.iter().enumerate() {
        let Some(invoked_ns) = window.invoked_ns else { continue };
        let earlier = answers.partition_point(|(returned_ns, _)| *returned_ns < invoked_ns);
        if earlier > 0 {
            graph.edge(timeline + earlier - 1, node);
        }
    }
    let Sorted { order, cycle } = graph.sort();
    let Some(cycle) = cycle else { return order.into_iter().filter(|node| *node < nodes).collect() };
    verdict.report(Condition::RealTimeOrder, describe(evidence, reads, &cycle));
    by_recorded_time(evidence)
}

const fn window(read: &PlacedRead) -> Node {
    Node { invoked_ns: Some(read.invoked_ns), returned_ns: Some(read.returned_ns) }
}

fn add_read(evidence: &Evidence<'_>, read: &PlacedRead, node: usize, graph: &mut Graph) {
    let Some(ops) = evidence.users.get(&read.user_id) else { return };
    if let Some(before) = read.base.checked_sub(1).and_then(|position| ops.get(position)) {
        graph.edge(before.node, node);
    }
    if let Some(after) = ops.get(read.base) {
        graph.edge(node, after.node);
    }
}

fn by_recorded_time(evidence: &Evidence<'_>) -> Vec<usize> {
    let mut nodes: Vec<(i64, i64, usize)> =
        evidence.users.values().flatten().map(|op| (op.at, op.view.seq, op.node)).collect();
    nodes.sort_unstable();
    let mut seen = vec![false; evidence.nodes.len()];
    nodes.retain(|(_, _, node)| !std::mem::replace(&mut seen[*node], true));
    nodes.into_iter().map(|(_, _, node)| node).collect()
}

fn describe(evidence: &Evidence<'_>, reads: &[PlacedRead], cycle: &[usize]) -> String {
    let nodes = evidence.nodes.len();
    let name = |node: &usize| {
        if let Some(read) = node.checked_sub(nodes).and_then(|position| reads.get(position)) {
            return Some(format!("a read of user {} at {}", read.user_id, read.base));
        }
        let mut ops = evidence.users.values().flatten();
        let op = ops.find(|op| op.node == *node)?;
        Some(format!("{} number {} of user {}", op.view.kind, op.view.seq, op.view.user_id))
    };
    let names: Vec<String> = cycle.iter().filter_map(name).take(NAMED_MAX).collect();
    format!("these cannot all be before the next: {}", names.join(" -> "))
}
