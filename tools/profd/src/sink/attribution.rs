//! Says in metrics whose they are: rank, Slurm job and Kubernetes pod of their process, by its environment.

use std::collections::HashMap;
use std::sync::Arc;

use common::record::profd::Metric;

use super::metric::{DecodedMetric, LabelName, ProcessLabels};
use crate::core::registry::process_facts::ProcessFacts;
use crate::plan::attribution::AttributionPlan;
use crate::state::DaemonState;

/// Maximum number of processes whose labels are kept. When it is reached, all are made anew.
const MAX_KEPT: usize = 16_384;

/// Finds what processes are, each once in its life.
pub(crate) struct Attribution {
    plan: AttributionPlan,
    state: Arc<DaemonState>,
    /// The labels of a process, by its pid, with the facts that they were made of.
    kept: HashMap<i32, (Arc<ProcessFacts>, Arc<ProcessLabels>)>,
    /// Senders of the present batch of which nothing could be read: they have ended.
    unknown: Vec<i32>,
}

impl Attribution {
    /// `None` if the plan asks for nothing.
    pub(crate) fn new(plan: &AttributionPlan, state: Arc<DaemonState>) -> Option<Self> {
        let plan = plan.clone();
        plan.is_wanted().then(|| Self { plan, state, kept: HashMap::new(), unknown: Vec::new() })
    }

    /// Describes the process of a metric. `facts` are those that were known when it was received.
    pub(super) fn describe(&mut self, metric: &mut DecodedMetric, facts: Option<Arc<ProcessFacts>>) {
        let host_pid = metric.record.host_pid;
        let Some(facts) = facts.or_else(|| self.find_facts(host_pid)) else { return };
        let known = self.kept.get(&host_pid).filter(|(of, _)| Arc::ptr_eq(of, &facts));
        let labels = match known {
            Some((_, labels)) => labels.clone(),
            None => {
                let labels = Arc::new(list_labels(&facts, &self.plan));
                if self.kept.len() >= MAX_KEPT {
                    self.kept.clear();
                }
                self.kept.insert(host_pid, (facts.clone(), labels.clone()));
                labels
            }
        };
        if !labels.0.is_empty() {
            fill_record(&mut metric.record, &facts, &self.plan);
            metric.labels = Some(labels);
        }
    }

    /// Forgets what was not known of the senders of a batch.
    pub(super) fn end_batch(&mut self) {
        self.unknown.clear();
    }

    fn find_facts(&mut self, host_pid: i32) -> Option<Arc<ProcessFacts>> {
        if self.unknown.contains(&host_pid) {
            return None;
        }
        let facts = self.state.facts_of_living(host_pid);
        if facts.is_none() {
            self.unknown.push(host_pid);
        }
        facts
    }
}

/// Lists the labels of a process. One that is not known is left out.
fn list_labels(facts: &ProcessFacts, plan: &AttributionPlan) -> ProcessLabels {
    let text = |value: &Option<String>, is_wanted: bool| value.clone().filter(|_| is_wanted);
    let number = |value: Option<i64>| value.filter(|_| plan.rank).map(|n| n.to_string());
    let known = [
        ("rank", number(facts.rank)),
        ("local_rank", number(facts.local_rank)),
        ("slurm_job_id", text(&facts.slurm_job_id, plan.slurm)),
        ("slurm_account", text(&facts.slurm_account, plan.slurm)),
        ("slurm_partition", text(&facts.slurm_partition, plan.slurm)),
        ("pod", text(&facts.pod, plan.kubernetes)),
        ("namespace", text(&facts.namespace, plan.kubernetes)),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((LabelName::Known(name), value?)));
    let mapped =
        facts.attributes.iter().map(|(name, value)| (LabelName::Mapped(name.clone()), value.clone()));
    ProcessLabels(known.chain(mapped).collect())
}

fn fill_record(record: &mut Metric, facts: &ProcessFacts, plan: &AttributionPlan) {
    if plan.rank {
        (record.rank, record.local_rank) = (facts.rank, facts.local_rank);
    }
    if plan.slurm {
        record.slurm_job_id.clone_from(&facts.slurm_job_id);
        record.slurm_account.clone_from(&facts.slurm_account);
        record.slurm_partition.clone_from(&facts.slurm_partition);
    }
    if plan.kubernetes {
        record.pod.clone_from(&facts.pod);
        record.namespace.clone_from(&facts.namespace);
    }
    record.attributes =
        facts.attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::record::Record;

    #[test]
    fn a_plan_says_which_labels_there_are() {
        let mut facts = ProcessFacts::read(
            b"python3\0train.py\0",
            b"RANK=3\0LOCAL_RANK=1\0SLURM_JOB_ID=4711\0SLURM_JOB_ACCOUNT=lab\0POD_NAME=p\0TEAM=vision\0",
            &[],
        );
        facts.attributes.push(("team".into(), "vision".into()));
        let labels = |plan: &AttributionPlan| {
            let labels = list_labels(&facts, plan).0;
            labels
                .iter()
                .map(|(name, value)| format!("{}={value}", name.as_str()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let all = AttributionPlan { rank: true, slurm: true, kubernetes: true, ..AttributionPlan::default() };
        assert_eq!(labels(&all), "rank=3 local_rank=1 slurm_job_id=4711 slurm_account=lab pod=p team=vision");
        assert_eq!(
            labels(&AttributionPlan { slurm: true, ..AttributionPlan::default() }),
            "slurm_job_id=4711 slurm_account=lab team=vision"
        );
        let mut record: Metric = serde_json::from_str(Metric::SAMPLE).unwrap();
        fill_record(&mut record, &facts, &all);
        assert_eq!(
            (record.rank, record.slurm_job_id.as_deref(), record.pod.as_deref()),
            (Some(3), Some("4711"), Some("p"))
        );
        assert_eq!(record.attributes["team"], "vision");
    }
}
