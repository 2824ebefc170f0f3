//! What a perceptron makes of the maze.

use super::{Action, Layout, MazeError, Position, TransitionTable, Window};
use crate::device::Device;
use crate::formats::ArrayMap;
use crate::graph::{Execution, Graph, Moment, Phase, Plan, TensorKind};
use crate::models::mlp::{LayerNames, Mlp, Nonlinearity};
use crate::training::mlp::MlpParameters;
use attractor_kernels::Activation;

/// Numbers of an input: x and y scaled to [-1, 1] over the grid, and which action it is.
pub const INPUTS: usize = 2 + Action::COUNT;
/// Numbers of an output: a displacement.
pub const OUTPUTS: usize = 2;
/// Rows of one run of the network.
const ROWS: usize = 1 << 15;
/// Displacements that single precision holds as integers.
const LARGEST: f64 = 16_777_216.0;

/// Learned dynamics: `s' = s + round(network(s, a))`, halves to even, with neither walls nor edges.
#[derive(Debug, Clone)]
pub struct LearnedMaze {
    name: String,
    parameters: MlpParameters,
}

/// The input of the network: coordinates in double precision, then rounded to single.
fn input(layout: &Layout, at: Position, action: Action) -> [f32; INPUTS] {
    let scaled = |value: i32, size: usize| {
        let most = size.saturating_sub(1).max(1) as f64;
        (f64::from(value) / most * 2.0 - 1.0) as f32
    };
    let mut input = [0.0; INPUTS];
    let (place, chosen) = input.split_at_mut(2);
    place.copy_from_slice(&[scaled(at.x, layout.width()), scaled(at.y, layout.height())]);
    for (index, flag) in chosen.iter_mut().enumerate() {
        *flag = f32::from(index == action.index());
    }
    input
}

/// Every transition of a maze as a training batch: inputs `[rows, 6]` and displacements `[rows, 2]`, in the
/// order of [`Layout::transitions`].
pub fn training_batch(layout: &Layout) -> (Vec<f32>, Vec<f32>) {
    let transitions = layout.transitions();
    let inputs = transitions
        .iter()
        .flat_map(|t| input(layout, t.state, t.action));
    let moves = transitions
        .iter()
        .flat_map(|t| [t.next.x - t.state.x, t.next.y - t.state.y].map(|delta| delta as f32));
    (inputs.collect(), moves.collect())
}

impl LearnedMaze {
    /// Dynamics by a perceptron from 6 to 2 numbers, called `name` in errors.
    ///
    /// # Errors
    /// [`MazeError::Setting`] for another shape.
    pub fn new(name: impl Into<String>, parameters: MlpParameters) -> Result<Self, MazeError> {
        let widths = parameters.widths();
        if widths.first() != Some(&INPUTS) || widths.last() != Some(&OUTPUTS) {
            let expected = format!("from {INPUTS} to {OUTPUTS} numbers");
            return Err(MazeError::setting(
                "network",
                expected,
                format!("{widths:?}"),
            ));
        }
        let name = name.into();
        Ok(Self { name, parameters })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its weights.
    pub fn parameters(&self) -> &MlpParameters {
        &self.parameters
    }

    fn network(&self) -> Result<Mlp, MazeError> {
        let mut map = ArrayMap::new(&self.name);
        self.parameters.write(&mut map, "net")?;
        let count = self.parameters.layers.len();
        let names: Vec<LayerNames> = (0..count)
            .map(|layer| {
                let name = |end: &str| format!("net.{}.{end}", 2 * layer);
                let follows = match layer + 1 == count {
                    true => Nonlinearity::None,
                    false => Nonlinearity::Activation(Activation::RELU),
                };
                LayerNames::plain(name("weight"), name("bias"), follows)
            })
            .collect();
        Ok(Mlp::read(&map, &names)?)
    }

    /// Raw displacements `[pairs, 2]` for states and actions, as the device computes them.
    ///
    /// # Errors
    /// [`MazeError`] from the device.
    pub fn displacements(
        &self,
        device: &Device,
        layout: &Layout,
        pairs: &[(Position, Action)],
    ) -> Result<Vec<f64>, MazeError> {
        let network = self.network()?;
        let rows = pairs.len().clamp(1, ROWS);
        let mut graph = Graph::new();
        let x = graph.float("inputs", &[rows, INPUTS], TensorKind::Input);
        let y = graph.float("displacements", &[rows, OUTPUTS], TensorKind::Output);
        network.forward(&mut graph, (Phase::Once, ""), rows, x, (y, 0));
        let launches: Vec<(usize, u32)> = (0..graph.nodes().len()).map(|node| (node, 0)).collect();
        let plan = Plan::compile(graph, device)?;
        // Fusion may have left fewer nodes than there were.
        let launches = launches
            .get(..plan.graph().nodes().len())
            .unwrap_or(&launches);
        let mut execution = Execution::new(&plan)?;
        let mut all = Vec::with_capacity(pairs.len() * OUTPUTS);
        for part in pairs.chunks(rows) {
            let mut inputs: Vec<f32> = part
                .iter()
                .flat_map(|(at, action)| input(layout, *at, *action))
                .collect();
            inputs.resize(rows * INPUTS, 0.0);
            execution.write(x, &inputs)?;
            execution.submit(launches, &Moment::default())?;
            execution.wait()?;
            let found = execution.read_f64(y)?;
            all.extend(found.into_iter().take(part.len() * OUTPUTS));
        }
        Ok(all)
    }

    /// The dynamics over a window.
    ///
    /// # Errors
    /// [`MazeError::Displacement`] for a prediction that is not finite or beyond 2^24; [`MazeError`] from
    /// the device.
    pub fn table(
        &self,
        device: &Device,
        layout: &Layout,
        window: Window,
    ) -> Result<TransitionTable, MazeError> {
        let of = |at| Action::ALL.map(|action| (at, action));
        let pairs: Vec<(Position, Action)> = window.positions().flat_map(of).collect();
        let raw = self.displacements(device, layout, &pairs)?;
        let rounded = pairs.iter().zip(raw.chunks(OUTPUTS)).map(|(pair, raw)| {
            let mut delta = [0; OUTPUTS];
            for (to, value) in delta.iter_mut().zip(raw) {
                *to = self.rounded(*pair, *value)?;
            }
            Ok(delta)
        });
        let moves: Result<_, MazeError> = rounded.collect();
        Ok(TransitionTable::new(window, moves?))
    }

    fn rounded(&self, (at, action): (Position, Action), value: f64) -> Result<i32, MazeError> {
        let whole = value.round_ties_even();
        if whole.abs() <= LARGEST {
            return Ok(whole as i32);
        }
        Err(MazeError::Displacement {
            model: self.name.clone(),
            at,
            action: action.name(),
            found: value,
            limit: LARGEST,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::mlp::LinearParameters;

    /// One linear layer: both displacements are the bias.
    fn constant(bias: f64) -> LearnedMaze {
        let layer = LinearParameters {
            inputs: INPUTS,
            outputs: OUTPUTS,
            weight: vec![0.0; INPUTS * OUTPUTS],
            bias: vec![bias, 0.0],
        };
        let layers = vec![layer];
        LearnedMaze::new("constant", MlpParameters { layers }).unwrap()
    }

    #[test]
    fn halves_go_to_the_even_side() {
        let layout = Layout::published().unwrap();
        let window = Window::around(&layout, 0);
        for (bias, expected) in [(0.5, 0), (1.5, 2), (-0.5, 0), (-1.5, -2), (0.51, 1)] {
            let table = constant(bias)
                .table(&Device::cpu(), &layout, window)
                .unwrap();
            let next = table.step(Position::new(3, 3), Action::Up).unwrap();
            assert_eq!(next, Position::new(3 + expected, 3), "{bias}");
        }
        let far = constant(1e9).table(&Device::cpu(), &layout, window);
        let said = far.unwrap_err().to_string();
        assert!(
            said.contains("constant") && said.contains("at (0, 0), action up"),
            "{said}"
        );
    }

    #[test]
    fn inputs_are_scaled_over_the_grid() {
        let layout = Layout::parse("test", "S.G").unwrap();
        let left = input(&layout, Position::new(0, 0), Action::Down);
        assert_eq!(left, [-1.0, -1.0, 0.0, 1.0, 0.0, 0.0]);
        // One row: the denominator is one, not zero.
        let above = input(&layout, Position::new(4, 1), Action::Right);
        assert_eq!(above, [3.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let (inputs, targets) = training_batch(&layout);
        assert_eq!((inputs.len(), targets.len()), (3 * 4 * 6, 3 * 4 * 2));
    }
}
