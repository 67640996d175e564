//! A directed graph: a topological order, or a cycle that shows why there is none.

use std::collections::VecDeque;

/// Nodes are numbers from 0.
pub(super) struct Graph {
    successors: Vec<Vec<u32>>,
}

/// What [`Graph::sort`] found.
pub(super) struct Sorted {
    /// The nodes in an order that agrees with every edge; those on or behind a cycle are left out.
    pub(super) order: Vec<usize>,
    /// One cycle, if there is any.
    pub(super) cycle: Option<Vec<usize>>,
}

impl Graph {
    pub(super) fn new(nodes: usize) -> Self {
        Self { successors: vec![Vec::new(); nodes] }
    }

    /// `from` comes before `to`.
    pub(super) fn edge(&mut self, from: usize, to: usize) {
        if from != to
            && let Ok(to) = u32::try_from(to)
        {
            self.successors[from].push(to);
        }
    }

    /// Sorts topologically.
    pub(super) fn sort(&self) -> Sorted {
        let mut waiting_for = vec![0_u32; self.successors.len()];
        for to in self.successors.iter().flatten() {
            waiting_for[*to as usize] += 1;
        }
        let mut free: VecDeque<usize> =
            (0..self.successors.len()).filter(|node| waiting_for[*node] == 0).collect();
        let mut order = Vec::with_capacity(self.successors.len());
        while let Some(node) = free.pop_front() {
            order.push(node);
            for to in &self.successors[node] {
                let to = *to as usize;
                waiting_for[to] -= 1;
                if waiting_for[to] == 0 {
                    free.push_back(to);
                }
            }
        }
        let cycle = (order.len() < self.successors.len()).then(|| self.cycle(&waiting_for));
        Sorted { order, cycle }
    }

    /// Each node that still waits, waits for another that waits: going back must close a cycle.
    fn cycle(&self, waiting_for: &[u32]) -> Vec<usize> {
        let mut predecessor = vec![usize::MAX; self.successors.len()];
        for (from, successors) in self.successors.iter().enumerate() {
            if waiting_for[from] > 0 {
                for to in successors {
                    predecessor[*to as usize] = from;
                }
            }
        }
        let mut node = waiting_for.iter().position(|count| *count > 0).unwrap_or_default();
        let mut visited_at = vec![usize::MAX; self.successors.len()];
        let mut path = Vec::new();
        while visited_at[node] == usize::MAX {
            visited_at[node] = path.len();
            path.push(node);
            node = predecessor[node];
        }
        let mut cycle = path.split_off(visited_at[node]);
        cycle.reverse();
        cycle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_and_finds_a_cycle() {
        let mut graph = Graph::new(5);
        for (from, to) in [(3, 1), (1, 0), (0, 2)] {
            graph.edge(from, to);
        }
        let sorted = graph.sort();
        assert_eq!(sorted.cycle, None);
        let place = |node| sorted.order.iter().position(|other| *other == node);
        assert!(place(3) < place(1) && place(1) < place(0) && place(0) < place(2));

        graph.edge(0, 3);
        let mut cycle = graph.sort().cycle.unwrap();
        cycle.sort_unstable();
        assert_eq!(cycle, [0, 1, 3]);
    }
}
