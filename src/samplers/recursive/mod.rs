//! Recursive reasoners at work: ACT steps over batches of any size, with what is read off them.

mod error;
mod exponents;
mod run;
mod solutions;

pub use error::ReasonerError;
pub use exponents::{ExponentSettings, Exponents, InvalidExample};
pub use solutions::{Score, Solutions, SolveReport, Trajectories};

use crate::device::{Device, DeviceError};
use crate::formats::ArrayMap;
use crate::graph::{GraphError, Plan};
use crate::models::recursive::{
    Observation, Observed, PuzzleRows, Recursive, RecursiveConfig, RecursiveMap, RecursiveWeights,
    Start,
};
use crate::orbit::OrbitPool;
use crate::orbit::lyapunov::LyapunovError;
use error::refuse;
use exponents::CompiledExponents;
use rayon::prelude::*;
use run::{Finished, Run};
use std::sync::Arc;
use std::time::Instant;

/// Rows of all examples of a run on the CPU device: enough for the matrix product, few enough for the
/// cache.
const CPU_ROWS: usize = 512;
/// Examples of a run on a GPU, where its limits allow.
const GPU_RUN: usize = 512;
/// Bytes of working memory of one run; more only where one example takes more.
const RUN_BYTES: u64 = 2 << 30;
/// Compiled plans kept; each holds a copy of the constants.
const PLANS_KEPT: usize = 2;
/// Most steps of a run: recorded launches take memory.
const MOST_STEPS: usize = 100_000;
/// Most numbers of recorded states and logits, held in double precision.
const MOST_RECORDED: usize = 1 << 28;

/// Puzzles to solve.
#[derive(Debug, Clone, Copy)]
pub struct SolveRequest<'a> {
    /// Tokens `[N, S]`.
    pub tokens: &'a [u32],
    /// Which puzzle each example is of `[N]`; empty for puzzle 0 throughout.
    pub puzzles: &'a [u32],
    /// ACT steps T; the model's halting is recorded and not followed.
    pub steps: usize,
    /// Keep states and logits of every step.
    pub record: bool,
    /// Most examples of one run; by the device where none.
    pub batch: Option<usize>,
}

impl<'a> SolveRequest<'a> {
    /// Tokens alone, over the configured number of steps.
    pub fn new(tokens: &'a [u32], config: &RecursiveConfig) -> Self {
        Self {
            tokens,
            puzzles: &[],
            steps: config.halt_max_steps,
            record: false,
            batch: None,
        }
    }
}

/// A recursive reasoner on a device.
#[derive(Debug)]
pub struct Reasoner {
    config: RecursiveConfig,
    weights: RecursiveWeights,
    weights_hash: String,
    device: Device,
    compiled: Vec<(Key, Arc<Compiled>)>,
    tangents: Option<Arc<CompiledExponents>>,
}

/// What a compiled plan depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    batch: usize,
    steps: usize,
    record: bool,
}

/// A compiled plan.
#[derive(Debug)]
struct Compiled {
    pool: OrbitPool,
    map: RecursiveMap,
    observed: Observed,
    key: Key,
}

impl Reasoner {
    /// A reasoner of shape `config` with weights from a state dict.
    ///
    /// # Errors
    /// [`ReasonerError`] naming the key or tensor that does not fit.
    pub fn new(
        config: RecursiveConfig,
        weights: &ArrayMap,
        rows: PuzzleRows,
        device: &Device,
    ) -> Result<Self, ReasonerError> {
        config.check("configuration")?;
        Ok(Self {
            weights: RecursiveWeights::read(&config, weights, rows)?,
            weights_hash: weights.content_hash(),
            config,
            device: device.clone(),
            compiled: Vec::new(),
            tangents: None,
        })
    }

    /// Shape and schedule.
    pub fn config(&self) -> &RecursiveConfig {
        &self.config
    }

    /// The model, for other graphs over it.
    pub fn model(&self) -> Recursive<'_> {
        Recursive {
            config: &self.config,
            weights: &self.weights,
        }
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Hash of the weights' contents.
    pub fn weights_hash(&self) -> &str {
        &self.weights_hash
    }

    /// Checks the parts of a request against the model, and gives the number of examples.
    ///
    /// # Errors
    /// [`ReasonerError::Request`] naming the part that does not fit.
    pub fn check(&self, request: &SolveRequest<'_>) -> Result<usize, ReasonerError> {
        let config = &self.config;
        let count = request.tokens.len() / config.seq_len;
        if count == 0 || !request.tokens.len().is_multiple_of(config.seq_len) {
            let expected = format!("puzzles of {} cells, at least one", config.seq_len);
            return Err(refuse("tokens", expected, request.tokens.len()));
        }
        if let Some(at) = beyond(request.tokens, config.vocab_size) {
            let (example, cell) = (at / config.seq_len, at % config.seq_len);
            let found = request.tokens.get(at).copied().unwrap_or(0);
            return Err(refuse(
                "tokens",
                format!("tokens below vocab_size = {}", config.vocab_size),
                format!("{found} at example {example}, cell {cell}"),
            ));
        }
        if !request.puzzles.is_empty() && request.puzzles.len() != count {
            return Err(refuse(
                "puzzles",
                format!("{count}, one an example"),
                request.puzzles.len(),
            ));
        }
        let known = config.num_puzzle_identifiers;
        if let Some(example) = beyond(request.puzzles, known).filter(|_| config.puzzle_emb_ndim > 0)
        {
            let found = request.puzzles.get(example).copied().unwrap_or(0);
            return Err(refuse(
                "puzzles",
                format!("identifiers below num_puzzle_identifiers = {known}"),
                format!("{found} at example {example}"),
            ));
        }
        if request.steps == 0 || request.steps > MOST_STEPS {
            return Err(refuse("steps", format!("1..={MOST_STEPS}"), request.steps));
        }
        if request.batch == Some(0) {
            return Err(refuse("batch", "at least 1", 0));
        }
        let a_step = config.dimension() + config.seq_len * config.vocab_size;
        let recorded = a_step.saturating_mul(request.steps).saturating_mul(count);
        if request.record && recorded > MOST_RECORDED {
            let expected = format!("at most {MOST_RECORDED} numbers");
            return Err(refuse("recorded states and logits", expected, recorded));
        }
        Ok(count)
    }

    /// Runs ACT steps for every puzzle. The examples are cut into runs as the device likes and its limits
    /// allow; an example's numbers do not depend on the cut.
    ///
    /// # Errors
    /// [`ReasonerError`]: a part of the request that does not fit, a device's limit or loss, or numbers
    /// that are not finite.
    pub fn solve(&mut self, request: &SolveRequest<'_>) -> Result<Solutions, ReasonerError> {
        let start = Instant::now();
        let count = self.check(request)?;
        let compiled = self.fitting(request, count)?;
        let batch = compiled.key.batch;
        let firsts: Vec<usize> = (0..count).step_by(batch).collect();
        let at_once = self.at_once(firsts.len());
        // Made before the first launch, so that the peak does not depend on how threads meet.
        compiled.pool.reserve(at_once)?;
        let side_by_side = at_once > 1;
        let carry_out = |first: &usize| {
            let mut orbit = compiled.pool.borrow()?;
            orbit.execution.parallel = !side_by_side;
            let run = Run {
                config: &self.config,
                request,
                count,
                first: *first,
            };
            let outcome = run.carry_out(&compiled, &mut orbit);
            compiled.pool.give_back(orbit);
            outcome
        };
        let finished: Vec<Result<Finished, ReasonerError>> = if side_by_side {
            firsts.par_iter().map(carry_out).collect()
        } else {
            firsts.iter().map(carry_out).collect()
        };
        let report = SolveReport {
            runs: firsts.len(),
            run_examples: batch,
            working_bytes: compiled.pool.working_bytes(),
            ..SolveReport::default()
        };
        let mut solutions = Solutions::begin(count, request, report);
        for run in finished {
            run?.append(&self.config, &mut solutions, true)?;
        }
        solutions.report.seconds = start.elapsed().as_secs_f64();
        Ok(solutions)
    }

    /// The plan that a request would run by, as one run.
    ///
    /// # Errors
    /// [`ReasonerError`] as [`Reasoner::solve`].
    pub fn plan(&mut self, request: &SolveRequest<'_>) -> Result<Plan, ReasonerError> {
        let count = self.check(request)?;
        Ok(self.fitting(request, count)?.pool.plan().clone())
    }

    /// Bytes of working memory that a request will hold at its peak.
    ///
    /// # Errors
    /// [`ReasonerError`] as [`Reasoner::solve`].
    pub fn peak_bytes(&mut self, request: &SolveRequest<'_>) -> Result<u64, ReasonerError> {
        let count = self.check(request)?;
        let compiled = self.fitting(request, count)?;
        let runs = self.at_once(count.div_ceil(compiled.key.batch));
        let held = runs.max(compiled.pool.idle()) as u64;
        Ok(compiled.pool.plan().working_bytes().saturating_mul(held))
    }

    /// Runs that go side by side.
    fn at_once(&self, runs: usize) -> usize {
        match self.device.gpu() {
            Some(_) => 1,
            None => runs.min(rayon::current_num_threads()),
        }
    }

    /// A compiled plan for runs of `count` examples, as large as the device likes and allows.
    fn fitting(
        &mut self,
        request: &SolveRequest<'_>,
        count: usize,
    ) -> Result<Arc<Compiled>, ReasonerError> {
        let preferred = match self.device.gpu() {
            Some(_) => GPU_RUN,
            None => count
                .div_ceil(rayon::current_num_threads())
                .clamp(1, (CPU_ROWS / self.config.length()).max(1)),
        };
        let mut limit = request.batch.unwrap_or(preferred).min(count).max(1);
        loop {
            let runs = count.div_ceil(limit);
            let key = Key {
                batch: count.div_ceil(runs),
                steps: request.steps,
                record: request.record,
            };
            let compiled = self.compiled(key);
            let bytes = |compiled: &Arc<Compiled>| compiled.pool.plan().working_bytes();
            if limit == 1 || !shrink(&compiled, bytes, request.batch.is_none()) {
                return compiled;
            }
            limit /= 2;
        }
    }

    fn compiled(&mut self, key: Key) -> Result<Arc<Compiled>, ReasonerError> {
        if let Some(place) = self.compiled.iter().position(|(known, _)| *known == key) {
            // Most recently used last.
            let found = self.compiled.remove(place);
            let compiled = Arc::clone(&found.1);
            self.compiled.push(found);
            return Ok(compiled);
        }
        let model = self.model();
        let map = model.map(key.batch, Start::Initial);
        let mut graph = map.map.graph.clone();
        let what = Observation {
            steps: key.steps,
            logits: key.record,
            states: key.record,
        };
        let observed = model.observe(&mut graph, &map, what);
        let compiled = Arc::new(Compiled {
            pool: OrbitPool::new(Plan::compile(graph, &self.device)?),
            map,
            observed,
            key,
        });
        if self.compiled.len() >= PLANS_KEPT {
            self.compiled.remove(0);
        }
        self.compiled.push((key, Arc::clone(&compiled)));
        Ok(compiled)
    }
}

/// Whether a plan is too large for its device, or, where the size of its runs is `free`, for comfort.
fn shrink<C>(compiled: &Result<C, ReasonerError>, bytes: impl Fn(&C) -> u64, free: bool) -> bool {
    let device = match compiled {
        Ok(compiled) => return free && bytes(compiled) > RUN_BYTES,
        Err(ReasonerError::Graph(GraphError::Device(error))) => error,
        Err(ReasonerError::Lyapunov(LyapunovError::Graph(GraphError::Device(error)))) => error,
        Err(_) => return false,
    };
    matches!(
        device,
        DeviceError::TooLarge { .. } | DeviceError::TooManyWorkgroups { .. }
    )
}

/// Place of the first word that is not below `most`.
fn beyond(words: &[u32], most: usize) -> Option<usize> {
    words.iter().position(|&word| word as usize >= most)
}
