//! Registers a collector for each combination of a metric's labels. All exist from the start, so that rates can be
//! computed before anything has happened.

use prometheus::{
    Counter, Error, Gauge, Histogram, HistogramOpts, IntCounter, Opts, Registry, Result, core::Collector,
};
use rsd_protocol::metrics::{MetricKind, MetricSpec};

/// A collector of one combination of labels.
pub(super) trait LabeledCollector: Collector + Clone + 'static {
    fn new(opts: Opts, metric: &MetricSpec) -> Result<Self>;
}

impl LabeledCollector for IntCounter {
    fn new(opts: Opts, _: &MetricSpec) -> Result<Self> {
        Self::with_opts(opts)
    }
}

impl LabeledCollector for Counter {
    fn new(opts: Opts, _: &MetricSpec) -> Result<Self> {
        Self::with_opts(opts)
    }
}

impl LabeledCollector for Gauge {
    fn new(opts: Opts, _: &MetricSpec) -> Result<Self> {
        Self::with_opts(opts)
    }
}

impl LabeledCollector for Histogram {
    fn new(opts: Opts, metric: &MetricSpec) -> Result<Self> {
        let buckets = match metric.kind {
            MetricKind::Histogram(bounds) => bounds.to_vec(),
            MetricKind::Counter | MetricKind::Gauge => {
                return Err(Error::Msg(format!("{} is not a histogram", metric.name)));
            }
        };
        Self::with_opts(HistogramOpts { common_opts: opts, buckets })
    }
}

/// Makes the collector of one combination of labels.
pub(super) fn collector<M: LabeledCollector>(metric: &MetricSpec, labels: &[(&str, &str)]) -> Result<M> {
    let opts = Opts::new(metric.name, metric.help);
    M::new(labels.iter().fold(opts, |opts, (name, value)| opts.const_label(*name, *value)), metric)
}

/// Makes collectors and adds them to a registry.
pub(super) struct CollectorRegistry<'a>(pub &'a Registry);

impl CollectorRegistry<'_> {
    /// A metric without labels.
    pub fn single<M: LabeledCollector>(&self, metric: &MetricSpec) -> Result<M> {
        self.with_labels(metric, &[])
    }

    /// A metric with one label; the collectors are in the order of its values.
    pub fn labeled<M: LabeledCollector, const N: usize>(&self, metric: &MetricSpec) -> Result<[M; N]> {
        let &[(name, values)] = metric.labels else { return Err(wrong_labels(metric)) };
        let collectors: Result<Vec<M>> =
            values.iter().map(|value| self.with_labels(metric, &[(name, value)])).collect();
        collectors?.try_into().map_err(|_| wrong_labels(metric))
    }

    /// A metric with two labels; the collectors are in the order of their values.
    pub fn labeled_twice<M: LabeledCollector, const N: usize, const K: usize>(
        &self,
        metric: &MetricSpec,
    ) -> Result<[[M; K]; N]> {
        let &[(first, firsts), (second, seconds)] = metric.labels else { return Err(wrong_labels(metric)) };
        let row = |outer: &&str| -> Result<[M; K]> {
            let row: Result<Vec<M>> =
                seconds.iter().map(|inner| self.with_labels(metric, &[(first, outer), (second, inner)])).collect();
            row?.try_into().map_err(|_| wrong_labels(metric))
        };
        let rows: Result<Vec<[M; K]>> = firsts.iter().map(row).collect();
        rows?.try_into().map_err(|_| wrong_labels(metric))
    }

    /// A metric whose labels have values that are not known yet; `new` makes it of its options and label names.
    pub fn open<V: Collector + Clone + 'static>(
        &self,
        metric: &MetricSpec,
        new: impl FnOnce(Opts, &[&str]) -> Result<V>,
    ) -> Result<V> {
        let names: Vec<&str> = metric.labels.iter().map(|(name, _)| *name).collect();
        let vector = new(Opts::new(metric.name, metric.help), &names)?;
        self.0.register(Box::new(vector.clone()))?;
        Ok(vector)
    }

    /// One combination of labels.
    pub fn with_labels<M: LabeledCollector>(&self, metric: &MetricSpec, labels: &[(&str, &str)]) -> Result<M> {
        let collector: M = collector(metric, labels)?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn wrong_labels(metric: &MetricSpec) -> Error {
    Error::Msg(format!("{} has other labels than the server expects", metric.name))
}
