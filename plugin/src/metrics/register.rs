//! From the list of metrics to collectors: one for each combination of a metric's labels, there from the start, so
//! that rates exist before anything has happened.

use prometheus::{
    Counter, Error, Gauge, Histogram, HistogramOpts, IntCounter, Opts, Registry, Result, core::Collector,
};
use rsd_protocol::metrics::{Kind, Metric};

/// A collector of one combination of labels.
pub(super) trait Child: Collector + Clone + 'static {
    fn new(opts: Opts, metric: &Metric) -> Result<Self>;
}

impl Child for IntCounter {
    fn new(opts: Opts, _: &Metric) -> Result<Self> {
        Self::with_opts(opts)
    }
}

impl Child for Counter {
    fn new(opts: Opts, _: &Metric) -> Result<Self> {
        Self::with_opts(opts)
    }
}

impl Child for Gauge {
    fn new(opts: Opts, _: &Metric) -> Result<Self> {
        Self::with_opts(opts)
    }
}

impl Child for Histogram {
    fn new(opts: Opts, metric: &Metric) -> Result<Self> {
        let buckets = match metric.kind {
            Kind::Histogram(bounds) => bounds.to_vec(),
            Kind::Counter | Kind::Gauge => return Err(Error::Msg(format!("{} is no histogram", metric.name))),
        };
        Self::with_opts(HistogramOpts { common_opts: opts, buckets })
    }
}

/// One child of a metric.
pub(super) fn child<M: Child>(metric: &Metric, labels: &[(&str, &str)]) -> Result<M> {
    let opts = Opts::new(metric.name, metric.help);
    M::new(labels.iter().fold(opts, |opts, (name, value)| opts.const_label(*name, *value)), metric)
}

/// Where collectors are made known.
pub(super) struct Register<'a>(pub &'a Registry);

impl Register<'_> {
    /// A metric without labels.
    pub fn one<M: Child>(&self, metric: &Metric) -> Result<M> {
        self.with(metric, &[])
    }

    /// A metric with one label, in the order of its values.
    pub fn by<M: Child, const N: usize>(&self, metric: &Metric) -> Result<[M; N]> {
        let &[(name, values)] = metric.labels else { return Err(unlike(metric)) };
        let children: Result<Vec<M>> = values.iter().map(|value| self.with(metric, &[(name, value)])).collect();
        children?.try_into().map_err(|_| unlike(metric))
    }

    /// A metric with two labels, in the order of their values.
    pub fn by_two<M: Child, const N: usize, const K: usize>(&self, metric: &Metric) -> Result<[[M; K]; N]> {
        let &[(first, firsts), (second, seconds)] = metric.labels else { return Err(unlike(metric)) };
        let row = |outer: &&str| -> Result<[M; K]> {
            let row: Result<Vec<M>> =
                seconds.iter().map(|inner| self.with(metric, &[(first, outer), (second, inner)])).collect();
            row?.try_into().map_err(|_| unlike(metric))
        };
        let rows: Result<Vec<[M; K]>> = firsts.iter().map(row).collect();
        rows?.try_into().map_err(|_| unlike(metric))
    }

    pub fn with<M: Child>(&self, metric: &Metric, labels: &[(&str, &str)]) -> Result<M> {
        let child: M = child(metric, labels)?;
        self.0.register(Box::new(child.clone()))?;
        Ok(child)
    }
}

fn unlike(metric: &Metric) -> Error {
    Error::Msg(format!("{} has other labels than the server gives it", metric.name))
}
