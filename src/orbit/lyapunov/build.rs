//! The graph of a map with its tangents, and a QR after every chosen update.

use super::{LyapunovError, Settings, Start, Tensors};
use crate::graph::tangent::Tangent;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::orbit::{IteratedMap, Stream};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::philox::{Philox, RandomKind};
use attractor_kernels::qr::Qr;

/// Labels of nodes that run only where a QR is due begin like this.
pub(super) const EVENT: &str = "qr.";
/// Numbers that the device's record holds of one example, where one step needs no more. Not of the whole
/// batch: what an example gives must not depend on its batch.
const RECORD: usize = 1 << 13;
/// Steps between two looks at the record, at most.
const WINDOW: usize = 4096;

pub(super) struct Built {
    pub graph: Graph,
    pub window: u32,
    pub tensors: Tensors,
    pub labels: Vec<String>,
}

fn refuse(setting: &'static str, expected: String, found: impl ToString) -> LyapunovError {
    LyapunovError::Setting {
        setting,
        expected,
        found: found.to_string(),
    }
}

/// Checks settings against a map.
pub(super) fn check(map: &IteratedMap, settings: &Settings) -> Result<(), LyapunovError> {
    let updates = map.updates.len();
    let nodes = map.graph.nodes().len();
    if map.batch == 0 || map.dimension == 0 {
        let found = format!("{} of {}", map.batch, map.dimension);
        return Err(refuse("map", "states of at least one number".into(), found));
    }
    let ascending = map.updates.windows(2).all(|pair| pair[0] < pair[1]);
    if updates == 0 || !ascending || map.updates.last().is_some_and(|&last| last > nodes) {
        let expected = format!("ascending counts of the map's {nodes} nodes");
        return Err(refuse("updates", expected, format!("{:?}", map.updates)));
    }
    if !(1..=map.dimension).contains(&settings.columns) {
        let expected = format!("1 to {}, the dimension of the state", map.dimension);
        return Err(refuse("tangent vectors k", expected, settings.columns));
    }
    let ascending = settings.points.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = settings.points.iter().all(|&point| point < updates);
    if !ascending || !inside {
        let expected = format!("ascending updates below {updates}");
        let found = format!("{:?}", settings.points);
        return Err(refuse("points of re-orthonormalisation", expected, found));
    }
    if settings.every == 0 || (settings.every > 1 && settings.points.len() > 1) {
        let expected = "at least 1, and 1 with several points a step".to_string();
        return Err(refuse("steps between QRs", expected, settings.every));
    }
    Ok(())
}

/// Sizes as the kernels take them; what does not fit is refused by the checks of the graph.
fn size(value: usize) -> u32 {
    crate::graph::layers::size(value)
}

struct Builder<'a> {
    map: &'a IteratedMap,
    settings: &'a Settings,
    tensors: Tensors,
}

pub(super) fn build(map: &IteratedMap, settings: &Settings) -> Result<Built, LyapunovError> {
    let k = settings.columns;
    let state = [map.state];
    let mut tangent = Tangent::between(&map.graph, k, &state, &state)?;
    let tangents = tangent
        .tangent_of(map.state)
        .ok_or_else(|| refuse("map", "a state that has tangents".into(), "one of words"))?;
    let window = window(map, settings);
    let tensors = add_tensors(tangent.graph_mut(), map, settings, tangents, window);
    let builder = Builder {
        map,
        settings,
        tensors,
    };
    if settings.start == Start::Random {
        builder.random_start(tangent.graph_mut());
    }
    let mut labels = Vec::new();
    for (position, &point) in settings.points.iter().enumerate() {
        let end = map.updates[point];
        tangent.advance(end)?;
        let last = map.graph.nodes()[..end].last();
        labels.push(last.map_or_else(String::new, |node| node.label.clone()));
        builder.re_orthonormalise(tangent.graph_mut(), position);
    }
    tangent.advance(map.graph.nodes().len())?;
    Ok(Built {
        graph: tangent.finish(),
        window: size(window),
        tensors,
        labels,
    })
}

/// Steps whose logarithms and factors the record holds.
fn window(map: &IteratedMap, settings: &Settings) -> usize {
    let k = settings.columns;
    let factors = if settings.factors {
        k.saturating_add(map.dimension)
    } else {
        0
    };
    let event = k.saturating_mul(factors.saturating_add(1));
    let step = event.saturating_mul(settings.points.len());
    let steps = (RECORD / step.max(1)).clamp(1, WINDOW);
    // Whole intervals between QRs.
    let every = settings.every as usize;
    (steps / every).max(1) * every
}

fn add_tensors(
    graph: &mut Graph,
    map: &IteratedMap,
    settings: &Settings,
    tangents: TensorId,
    window: usize,
) -> Tensors {
    let (k, points) = (settings.columns, settings.points.len());
    let (batch, n) = (map.batch, map.dimension);
    let output = TensorKind::Output;
    let logs = graph.float("lyapunov.logs", &[window, points, batch, k], output);
    let status = graph.word("lyapunov.status", &[batch, 2], TensorKind::State);
    let factors = settings.factors.then(|| {
        let r = graph.float("lyapunov.r", &[window, points, batch, k, k], output);
        let q = graph.float("lyapunov.q", &[window, points, k, batch, n], output);
        (r, q)
    });
    Tensors {
        tangents,
        logs,
        status,
        r: factors.map(|(r, _)| r),
        q: factors.map(|(_, q)| q),
    }
}

impl Builder<'_> {
    fn qr(&self) -> Qr {
        let (batch, n) = (size(self.map.batch), size(self.map.dimension));
        Qr::tangents(batch, n, size(self.settings.columns))
    }

    /// Normal vectors, `k * dimension` numbers an example, orthonormalised.
    fn random_start(&self, graph: &mut Graph) {
        let (batch, n, k) = (self.map.batch, self.map.dimension, self.settings.columns);
        let drawn = graph.float("lyapunov.normal", &[batch, k, n], TensorKind::Intermediate);
        let length = size(k.saturating_mul(n));
        let stream = Stream::Tangent.index();
        let philox = Philox::new(RandomKind::NORMAL, size(batch), length, 0, stream);
        graph.push(Phase::Once, "tangents.normal", philox, &[Some(drawn)]);
        let copy = CopyFloats::strided(
            [1, size(k), size(batch), size(n)],
            [0, size(n), length, 1],
            [0, size(batch.saturating_mul(n)), size(n), 1],
        );
        let operands = [Some(drawn), Some(self.tensors.tangents)];
        graph.push(Phase::Once, "tangents.start", copy, &operands);
        let mut qr = self.qr();
        qr.flags = 0;
        let operands = [Some(self.tensors.tangents), None, None, None];
        graph.push(Phase::Once, "tangents.orthonormal", qr, &operands);
    }

    /// A QR of the tangents, its logarithms and factors into their places of the record.
    fn re_orthonormalise(&self, graph: &mut Graph, position: usize) {
        let (batch, n, k) = (self.map.batch, self.map.dimension, self.settings.columns);
        let points = self.settings.points.len();
        let logs = batch.saturating_mul(k);
        let mut qr = self.qr();
        qr.log_offset = size(position.saturating_mul(logs));
        qr.log_step_stride = size(points.saturating_mul(logs));
        let Tensors {
            tangents,
            logs,
            status,
            ..
        } = self.tensors;
        let label = format!("{EVENT}{position}");
        let (Some(all_r), Some(all_q)) = (self.tensors.r, self.tensors.q) else {
            graph.push(
                Phase::Step,
                label,
                qr,
                &[Some(tangents), None, Some(logs), Some(status)],
            );
            return;
        };
        qr.flags |= Qr::R;
        let r = graph.float(
            format!("{label}.r"),
            &[batch, k, k],
            TensorKind::Intermediate,
        );
        let operands = [Some(tangents), Some(r), Some(logs), Some(status)];
        graph.push(Phase::Step, label.clone(), qr, &operands);
        let sizes = [(r, all_r, batch * k * k), (tangents, all_q, batch * k * n)];
        for (from, to, count) in sizes {
            let mut copy = CopyFloats::contiguous(size(count));
            copy.dst_offset = size(position * count);
            copy.dst_step_stride = size(points * count);
            graph.push(
                Phase::Step,
                format!("{label}.keep"),
                copy,
                &[Some(from), Some(to)],
            );
        }
    }
}
